/**
 * What makes an application's own presence tests short. See {@link PresenceTest}.
 *
 * @module
 * @since 0.1.0
 */
export * from "./PresenceTest.js"
export * from "./UnmetExpectation.js"
