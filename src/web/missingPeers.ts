/**
 * What serves needs the platform of Effect, which whoever serves nothing need not install: it is an optional peer. So
 * it may be missing, and Node's words for that do not say what to do.
 */

/** What is to be installed, and brings all that it needs itself. */
const PEER = "@effect/platform-node@0.108"

/** An error that says so, where a module is missing that the platform brings; any other as it is. */
export const explained = (error: unknown): unknown => {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ERR_MODULE_NOT_FOUND") return error
  const [, name] = /package '(@effect\/[\w-]+)/.exec(error.message) ?? []
  if (name === undefined) return error
  return new Error(`${name} is not installed, and routes and the ready server need it: npm install ${PEER}`, {
    cause: error
  })
}
