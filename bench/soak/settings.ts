/** What is asked for on the command line. */
import { parseArgs } from "node:util"

const text = (fallback: string) => ({ type: "string", default: fallback }) as const

const { values } = parseArgs({
  options: {
    minutes: text("2"),
    sockets: text("5000"),
    streams: text("500"),
    rooms: text("500"),
    replicas: text("3"),
    every: text("120"),
    "leave-delay": text("10"),
    patience: text("120")
  }
})

const number = (name: keyof typeof values, least: number): number => {
  const value = Number(values[name])
  if (value >= least) return value
  console.error(`--${name} is a number of at least ${least}, but is ${values[name]}`)
  process.exit(1)
}

export const settings = {
  seconds: number("minutes", 0.05) * 60,
  sockets: number("sockets", 1),
  streams: number("streams", 0),
  rooms: number("rooms", 1),
  replicas: number("replicas", 2),
  /** Seconds from one kill or deploy to the next. */
  every: number("every", 1),
  /** Seconds. */
  leaveDelay: number("leave-delay", 1),
  /** Seconds that lists have, once everybody rests, to be what they should be. */
  patience: number("patience", 1)
}
