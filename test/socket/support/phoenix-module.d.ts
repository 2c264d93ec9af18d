/** Older versions, which come back less readily. */
declare module "phoenix-1.6" {
  export { LongPoll, Socket } from "phoenix"
}
declare module "phoenix-1.7" {
  export { LongPoll, Socket } from "phoenix"
}
