"use client"
/**
 * The socket of a part of a page, for all hooks below.
 *
 * There is nothing to open and nothing to close: the client connects with the first room that a hook joins and lets go
 * with the last, so a server that renders, and a render that React throws away, leave nothing behind.
 */
import {
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useContext,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef
} from "react"
import { checkOptions, checkToken } from "../client/errors.js"
import { type Client, type ConnectOptions, connect, type Token } from "../client/index.js"

/**
 * Properties of {@link PresenceProvider}.
 *
 * @since 0.2.0
 * @category models
 */
export interface PresenceProviderProps extends ConnectOptions {
  /** As `connect` takes it: `wss://example.com/socket`, or `/socket` for the host that the page came from. */
  readonly url: string
  readonly children?: ReactNode
}

const Context = createContext<Client | undefined>(undefined)

/**
 * One socket for every {@link usePresence} below it. Another `url`, `leaveDelay` or `transport` is another client, whose
 * rooms join anew. `token` may be another function with each render: it is the newest that is asked.
 *
 * ```ts
 * import { PresenceProvider } from "effect-presence/react"
 * import { createElement, type ReactNode } from "react"
 *
 * declare const getToken: () => Promise<string>
 *
 * export const Live = ({ children }: { readonly children: ReactNode }) =>
 *   createElement(PresenceProvider, { url: "/socket", token: getToken }, children)
 * ```
 *
 * Throws `ClientError` with `InvalidOption`.
 *
 * @since 0.2.0
 * @category components
 */
export const PresenceProvider = (props: PresenceProviderProps): ReactElement => {
  checkOptions("PresenceProvider", props, ["url", "token", "leaveDelay", "transport", "children"])
  const { url, token, leaveDelay, transport, children } = props
  checkToken(token)
  const newest = useRef(token)
  useNow(() => {
    newest.current = token
  })
  const hasToken = token !== undefined
  const client = useMemo(() => {
    const ask = (): Token | Promise<Token> => (typeof newest.current === "function" ? newest.current() : newest.current)
    return connect(url, { token: hasToken ? ask : undefined, leaveDelay, transport })
  }, [url, hasToken, leaveDelay, transport])
  return createElement(Context.Provider, { value: client }, children)
}

/** In the same commit as what hooks below do. A server has no effects, and React 18 warns of this one there. */
const useNow = "document" in globalThis ? useLayoutEffect : useEffect

/** The client of the nearest provider. */
export const useClient = (): Client => {
  const client = useContext(Context)
  if (client === undefined) {
    throw new Error("usePresence is called where no PresenceProvider is above: put one around what is to be live")
  }
  return client
}
