/**
 * A turn of the event loop after each test, and for those that compute for long whenever they ask for one. Vitest gives
 * up a process that does not hear its answers for a minute, which a busy machine makes of a few seconds of work.
 */
import { afterEach } from "vitest"

// As they are before a test replaces them.
const { setImmediate } = globalThis

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

afterEach(turn)
