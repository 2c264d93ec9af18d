/** Whom an address stands for. */
import { expect, it } from "vitest"
import { networkOf } from "../../src/web/addresses.js"

it("of IPv6 the network, of IPv4 the address, however it is written, and of anything else the text", () => {
  for (const [address, network] of [
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["::FFFF:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002:ffff::1", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:DB8::", "2001:db8:0:0::/64"],
    ["1::2:3:4:5:6:7", "1:0:2:3::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["203.0.113.7:4000", "203.0.113.7:4000"],
    ["unknown", "unknown"],
    ["", ""]
  ]) {
    expect([address, networkOf(String(address))]).toEqual([address, network])
  }
})
