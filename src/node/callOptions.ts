/**
 * What calls are told, checked with its name: whoever writes JavaScript has no types. Options throw `InvalidOption`, names
 * what `track` refuses them with: nobody is ever under a name that cannot be, so whoever asks about one means another.
 */
import { show } from "../internal/input/names.js"
import { checkNames, checkObject, type InputLimits } from "../internal/input/options.js"
import { checkKey, checkTopic } from "../internal/input/validate.js"
import { InvalidOption } from "../PresenceError.js"
import type { IterateOptions, NodePresence } from "./NodePresence.js"

type ChangesOptions = NonNullable<Parameters<NodePresence["changes"]>[1]>

export const readIterate = (options: IterateOptions = {}): IterateOptions => {
  checkNames("options", options, ["signal"])
  checkSignal(options.signal)
  return options
}

export const readChanges = (options: ChangesOptions = {}): ChangesOptions => {
  checkNames("options", options, ["signal", "since"])
  checkSignal(options.signal)
  if (options.since !== undefined) checkSince(options.since)
  return options
}

export const readTopic = (topic: string, limits: InputLimits): string => {
  const refused = checkTopic(topic, limits)
  if (refused !== undefined) throw refused
  return topic
}

/** Without a topic it is one of all topics. */
export const readKey = (key: string, limits: InputLimits, topic = ""): string => {
  const refused = checkKey(topic, key, limits)
  if (refused !== undefined) throw refused
  return key
}

export const readTopics = (topics: ReadonlyArray<string>, limits: InputLimits): ReadonlyArray<string> => {
  if (Array.isArray(topics)) return topics.map((topic) => readTopic(topic, limits))
  throw new InvalidOption({ option: "topics", value: show(topics), allowed: "a list of topics" })
}

/** A framework hands over a context of its own, or Node's request. */
export const readRequest = (request: Request): Request => {
  if (typeof request?.url === "string" && typeof request.headers?.get === "function") return request
  const allowed = "a Request of the web, such as Hono's context.req.raw"
  throw new InvalidOption({ option: "request", value: show(request), allowed })
}

/** Others than Node's own are taken too, as of jsdom. */
const checkSignal = (signal: AbortSignal | undefined): void => {
  if (signal === undefined || (typeof signal?.aborted === "boolean" && typeof signal.addEventListener === "function")) {
    return
  }
  throw new InvalidOption({ option: "signal", value: show(signal), allowed: "an AbortSignal" })
}

const checkSince = (since: NonNullable<ChangesOptions["since"]>): void => {
  checkObject("since", since)
  if (typeof since.epoch === "string" && Number.isInteger(since.version)) return
  const value = `epoch ${show(since.epoch)}, version ${show(since.version)}`
  throw new InvalidOption({ option: "since", value, allowed: "the epoch and the version of a change" })
}
