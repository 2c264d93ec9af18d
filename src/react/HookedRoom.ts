/**
 * What a hook holds for its component's life, through all rooms that it joins: one state to read, and functions that
 * stay the same and lead to the room of the moment.
 *
 * Children's effects run before those of their parents, so a child may be the first to listen or to update: what it
 * says waits for the join.
 */
import type { Client, JoinOptions, Room, RoomState } from "../client/index.js"
import { INITIAL } from "../client/topic.js"

/** How many calls wait. */
const EARLY = 100

/** What a meta says, if it is JSON: else the client will say what is wrong with it. */
export const textOf = (meta: object | undefined): string | undefined => {
  try {
    return JSON.stringify(meta)
  } catch {
    return undefined
  }
}

export class HookedRoom<Meta extends object> {
  private room: Room<Meta> | undefined
  /** What is to be done in each room that is joined, and how it is undone in the present one. */
  private readonly heard = new Map<object, { readonly begin: (room: Room<Meta>) => () => void; stop: () => void }>()
  private readonly renders = new Set<() => void>()
  private early: Array<(room: Room<Meta>) => void> | undefined = []
  /** The meta of the last render that the room was told. */
  private said: string | undefined

  /** What `useSyncExternalStore` wants. */
  readonly subscribe = (render: () => void): (() => void) => {
    this.renders.add(render)
    return () => this.renders.delete(render)
  }
  readonly read = (): RoomState<Meta> => this.room?.state ?? this.readOnServer()
  readonly readOnServer = (): RoomState<Meta> => INITIAL as RoomState<Meta>

  /** Until it is left, by the function that it returns. */
  join(client: Client, topic: string, options: JoinOptions<Meta>): () => void {
    const room = client.join<Meta>(topic, options)
    const leave = () => {
      room.leave()
      this.room = undefined
      this.early = []
      for (const render of this.renders) render()
    }
    this.room = room
    this.said = textOf(options.meta)
    try {
      for (const heard of this.heard.values()) heard.stop = heard.begin(room)
      for (const call of this.early ?? []) call(room)
    } catch (error) {
      // An effect that throws is never undone, and nobody would leave.
      leave()
      throw error
    }
    this.early = undefined
    room.subscribe(() => {
      for (const render of this.renders) render()
    })
    return leave
  }

  /** Nothing is joined, so what is said is said to nobody. */
  rest(): void {
    this.early = undefined
  }

  /** The meta of a render, told once. */
  say(said: string | undefined, meta: Meta): void {
    if (this.said === said) return
    this.said = said
    this.update(meta)
  }

  readonly update: Room<Meta>["update"] = (meta) => this.now((room) => room.update(meta))

  readonly broadcast: Room<Meta>["broadcast"] = (event, payload) => this.now((room) => room.broadcast(event, payload))

  readonly on: Room<Meta>["on"] = <Payload>(event: string, listener: (payload: Payload) => void) => {
    const begin = (room: Room<Meta>) => room.on(event, listener)
    const heard = { begin, stop: this.room === undefined ? () => {} : begin(this.room) }
    this.heard.set(heard, heard)
    return () => {
      this.heard.delete(heard)
      heard.stop()
    }
  }

  private now(call: (room: Room<Meta>) => void): void {
    if (this.room !== undefined) call(this.room)
    else if (this.early !== undefined && this.early.length < EARLY) this.early.push(call)
  }
}
