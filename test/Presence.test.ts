import { Presence } from "../src/index.js"
import { presenceContract } from "./contract/presence.js"
import { seedContract } from "./contract/seed.js"

seedContract("in process", Presence.layer)
presenceContract("in process", Presence.layer)
