/**
 * Whom a client's address stands for, where clients are counted: who has one address of IPv6 has a network of 2^64.
 */
import { isIPv6 } from "node:net"

/** An address of IPv4, also where it is written as one of IPv6; the network of another; and what is no address as it is. */
export const networkOf = (address: string): string => {
  if (!isIPv6(address)) return address
  const [, mapped] = /^::ffff:([\d.]+)$/i.exec(address) ?? []
  if (mapped !== undefined) return mapped
  const [first = [], last = []] = address.split("::").map((part) => part.split(":").filter((group) => group !== ""))
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => "0")
  const network = [...first, ...zeros, ...last].slice(0, 4)
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`
}
