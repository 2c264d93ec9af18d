/**
 * A promise with a bound.
 */

/** Fails after `timeout`, whatever becomes of the promise. */
export const timed = <A>(promise: Promise<A>, timeout: number, what: string): Promise<A> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} got no answer within ${timeout} ms`)), timeout)
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (cause) => {
        clearTimeout(timer)
        reject(cause)
      }
    )
  })
