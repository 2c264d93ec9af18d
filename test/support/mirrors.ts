/** Channels that do to presence what no channel should. */
import { Effect, Layer } from "effect"
import { Channels } from "../../src/index.js"

/** Channels in process whose `unsafePublish` is another. */
export const channelsWith = (
  unsafePublish: (usual: Channels.Service["unsafePublish"]) => Channels.Service["unsafePublish"]
): Layer.Layer<Channels> =>
  Layer.effect(
    Channels,
    Effect.map(Channels, (channels) => ({ ...channels, unsafePublish: unsafePublish(channels.unsafePublish) }))
  ).pipe(Layer.provide(Channels.layer()))

/** Channels whose `unsafePublish` throws while they are broken. */
export const breakable = () => {
  const state = { broken: false }
  const channels = channelsWith((usual) => (topic, text) => {
    if (state.broken) throw new Error("the mirror is broken")
    return usual(topic, text)
  })
  return { state, channels }
}
