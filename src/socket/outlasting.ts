/**
 * What stays of a request's runtime for a socket that outlasts it: its services, in a scope that is over. All else is alike as
 * a rule, and sockets share it.
 */
import { Context, Effect, Exit, FiberRef, FiberRefs, FiberRefsPatch, Runtime, Scope } from "effect"

export type Outlasting = <R>(runtime: Runtime.Runtime<R>) => Runtime.Runtime<R>

export const makeOutlasting: Effect.Effect<Outlasting> = Effect.gen(function* () {
  const over = yield* Scope.make()
  yield* Scope.close(over, Exit.void)
  let shared = FiberRefs.empty()
  return ({ context, fiberRefs, runtimeFlags }) => {
    const own = FiberRefs.delete(fiberRefs, FiberRef.currentContext)
    if (FiberRefsPatch.diff(shared, own)._tag !== "Empty") shared = own
    return Runtime.make({ context: Context.add(context, Scope.Scope, over), fiberRefs: shared, runtimeFlags })
  }
})
