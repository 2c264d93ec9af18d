/**
 * Presence in React, 18 and 19: {@link PresenceProvider} holds the socket, {@link usePresence} is a room.
 *
 * @module
 * @since 0.2.0
 */
"use client"
export { PresenceProvider, type PresenceProviderProps } from "./PresenceProvider.js"
export { type UsePresence, type UsePresenceOptions, usePresence } from "./usePresence.js"
