/**
 * A stream as an async iterator. It is run from the first value that is asked for, one chunk at a time, so a slow reader is
 * one that lags and nothing piles up here. Whoever leaves it, by `break`, `return` or a signal, ends the stream, also
 * while a value is waited for.
 */
import { Cause, Chunk, Effect, Exit, Option, Scope, Stream } from "effect"

export const iterate = <A, E>(stream: Stream.Stream<A, E>, signal?: AbortSignal): AsyncIterableIterator<A> => {
  const scope = Effect.runSync(Scope.make())
  const left = new AbortController()
  let pull: Effect.Effect<Chunk.Chunk<A>, Option.Option<E>> | undefined
  let buffer: ReadonlyArray<A> = []
  let at = 0
  let isOver = false
  /** The last that was asked for, while it is waited for. */
  let turn: Promise<unknown> | undefined

  const end = async (): Promise<void> => {
    isOver = true
    signal?.removeEventListener("abort", abort)
    left.abort()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
  const abort = (): void => void end()

  const more = Effect.suspend(() => {
    if (pull !== undefined) return pull
    return Effect.flatMap(Scope.extend(Stream.toPull(stream), scope), (made) => {
      pull = made
      return made
    })
  })

  const take = async (): Promise<IteratorResult<A>> => {
    if (!isOver && pull === undefined) signal?.addEventListener("abort", abort, { once: true })
    if (signal?.aborted) {
      await end()
      throw signal.reason
    }
    if (isOver) return { done: true, value: undefined }
    if (at < buffer.length) return { done: false, value: buffer[at++] as A }
    const exit = await Effect.runPromiseExit(more, { signal: left.signal })
    if (Exit.isSuccess(exit)) {
      buffer = Chunk.toReadonlyArray(exit.value)
      at = 0
      return take()
    }
    await end()
    // Left meanwhile, not failed.
    if (signal?.aborted) throw signal.reason
    if (Cause.isInterruptedOnly(exit.cause)) return { done: true, value: undefined }
    const failure = Cause.failureOption(exit.cause)
    if (Option.isNone(failure)) throw Cause.squash(exit.cause)
    if (Option.isSome(failure.value)) throw failure.value.value
    return { done: true, value: undefined }
  }

  return {
    // One after the other, so that values keep their order for who asks for several at once. The first at once, so that what
    // happens after the call is heard.
    next: () => {
      const result = turn === undefined ? take() : turn.then(take)
      const mine = result
        .catch(() => {})
        .then(() => {
          if (turn === mine) turn = undefined
        })
      turn = mine
      return result
    },
    return: async (value?: unknown) => {
      await end()
      return { done: true, value }
    },
    [Symbol.asyncIterator]() {
      return this
    }
  }
}
