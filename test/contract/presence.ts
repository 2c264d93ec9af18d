/**
 * What any `Presence` does, whatever layer it comes from. Every sentence of the contract that needs no look inside.
 */
import { describe } from "@effect/vitest"
import { activity } from "./presence/activity.js"
import { closing } from "./presence/closing.js"
import { delay } from "./presence/delay.js"
import { expiry } from "./presence/expiry.js"
import { following } from "./presence/following.js"
import { leases } from "./presence/leases.js"
import { live } from "./presence/live.js"
import { names } from "./presence/names.js"
import { reads } from "./presence/reads.js"
import { refused } from "./presence/refused.js"
import { typed } from "./presence/typed.js"
import { updates } from "./presence/updates.js"
import { type MakeLayer, subject, type Time, testTime } from "./Subject.js"

export const presenceContract = (name: string, layer: MakeLayer, time: Time = testTime) =>
  describe(`${name}: presence`, () => {
    const given = subject(layer, time)
    const parts = [reads, leases, updates, expiry, delay, following, live, activity, refused, names, typed, closing]
    for (const part of parts) part(given)
  })
