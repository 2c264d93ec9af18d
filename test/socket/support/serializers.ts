/** The serializers of the published clients, so that the codec is tested against what really travels. */
import { RealtimeClient, type WebSocketLikeConstructor } from "@supabase/realtime-js"
import { type Frame, Serializer } from "phoenix"
import { WebSocket } from "ws"

const now = <A>(run: (callback: (result: A) => void) => void): A => {
  let answer: { readonly result: A } | undefined
  run((result) => {
    answer = { result }
  })
  if (answer === undefined) throw new Error("the serializer did not answer at once")
  return answer.result
}

export const phoenixSerializer = {
  encode: (frame: Frame) => now<string | ArrayBuffer>((callback) => Serializer.encode(frame, callback)),
  decode: (raw: string | ArrayBuffer) => now<Frame>((callback) => Serializer.decode(raw, callback))
}

// The client's type of a transport leaves out what `ws` calls its events; it works, which these tests show.
const transport = WebSocket as unknown as WebSocketLikeConstructor

const { serializer } = new RealtimeClient("ws://127.0.0.1", { params: { apikey: "none" }, transport })

export const supabaseSerializer = {
  encode: (frame: { join_ref: string; ref: string; topic: string; event: string; payload: Record<string, unknown> }) =>
    now<string | ArrayBuffer>((callback) => serializer.encode(frame, callback)),
  decode: (raw: string | ArrayBuffer) => now<Frame>((callback) => serializer.decode(raw, callback))
}
