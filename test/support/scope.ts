/** How many finalizers a scope holds. Effect does not tell, so this looks inside. */
import type { Scope } from "effect"

export const finalizersOf = (scope: Scope.Scope): number => {
  const { state } = scope as unknown as {
    readonly state:
      | { readonly _tag: "Open"; readonly finalizers: ReadonlyMap<object, unknown> }
      | { readonly _tag: "Closed" }
  }
  if (state._tag === "Closed") throw new Error("the scope is closed")
  return state.finalizers.size
}
