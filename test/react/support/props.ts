/** What tests say to the page. */
export interface RoomProps {
  readonly topic: string | null
  readonly user?: string
  readonly n?: number
}

export interface AppProps {
  readonly url: string
  readonly token?: string
  readonly rooms: Record<string, RoomProps>
}
