/**
 * How the crowd speaks to each contender, and what it understands of the answers: who is there, who has gone. Members are
 * numbers, and `k12` on the wire.
 */

export interface News {
  /** It is the whole state, not a change of it. */
  readonly isState: boolean
  readonly here: ReadonlyArray<number>
  readonly gone: ReadonlyArray<number>
  /** When the updates that it tells were sent, in microseconds. */
  readonly sentAt: ReadonlyArray<number>
}

export interface Protocol {
  readonly path: string
  /** What is said once the socket is open. */
  readonly join: (room: string, member: number) => ReadonlyArray<string>
  readonly update: (room: string, sentAt: number) => string
  /** Whether it answers something that was said, where each is answered. */
  readonly isReply?: (text: string) => boolean
  /** A sign of life, if clients give one by themselves. */
  readonly heartbeat?: string
  /** What to answer, if the text wants an answer. */
  readonly answer?: (text: string, room: string, member: number) => string | undefined
  readonly news: (text: string) => News | undefined
}

const meta = (sentAt: number): string => `{"role":"viewer","t":${sentAt}}`

const numbers = (text: string, pattern: RegExp): ReadonlyArray<number> =>
  Array.from(text.matchAll(pattern), ([, digits]) => Number(digits))

const members = (text: string): ReadonlyArray<number> => numbers(text, /"k(\d+)"/g)
const times = (text: string): ReadonlyArray<number> => numbers(text, /"t":([1-9]\d*)/g)

const state = (text: string): News => ({ isState: true, here: members(text), gone: [], sentAt: [] })

/** A diff names who is there first, then who is not. */
const diff = (text: string): News => {
  const cut = text.lastIndexOf('"leaves":')
  const [before, after] = [text.slice(0, cut), text.slice(cut)]
  return { isState: false, here: members(before), gone: members(after), sentAt: times(before) }
}

const phoenix: Protocol = {
  path: "/socket/websocket?vsn=2.0.0",
  join: (room, member) => [`["1","1","${room}","phx_join",{"key":"k${member}","meta":${meta(0)}}]`],
  update: (room, sentAt) =>
    `["1","2","${room}","presence",{"type":"presence","event":"track","payload":${meta(sentAt)}}]`,
  isReply: (text) => text.includes('"phx_reply"'),
  heartbeat: '[null,"3","phoenix","heartbeat",{}]',
  news: (text) => {
    if (text.includes('"presence_diff"')) return diff(text)
    if (text.includes('"presence_state"')) return state(text)
    if (text.includes('"error"')) throw new Error(text)
    return undefined
  }
}

/** What the servers of `peers.ts` say: `["join","k1",meta]`, `["leave","k1"]`, `["update","k1",meta]`, `["state",…]`, `["diff",…]`. */
const plainNews = (text: string): News | undefined => {
  if (text.startsWith('["state"')) return state(text)
  if (text.startsWith('["diff"')) return diff(text)
  if (text.startsWith('["leave"')) return { isState: false, here: [], gone: members(text), sentAt: [] }
  return { isState: false, here: members(text), gone: [], sentAt: times(text) }
}

const plain: Protocol = {
  path: "/",
  join: (room, member) => [`["join","${room}","k${member}",${meta(0)}]`],
  update: (_, sentAt) => `["update",${meta(sentAt)}]`,
  news: plainNews
}

/** Engine.IO 4 around Socket.IO 5: `0` opens, `2` is a ping, `40` connects, `42` is an event. */
const socketIo: Protocol = {
  path: "/socket.io/?EIO=4&transport=websocket",
  join: () => [],
  update: (_, sentAt) => `42["update",${meta(sentAt)}]`,
  answer: (text, room, member) => {
    if (text.startsWith("0")) return "40"
    if (text.startsWith("2")) return "3"
    return text.startsWith("40") ? `42["join","${room}","k${member}",${meta(0)}]` : undefined
  },
  news: (text) => (text.startsWith("42") ? plainNews(text.slice(2)) : undefined)
}

export const protocols = { phoenix, plain, socketIo }

export type ProtocolName = keyof typeof protocols
