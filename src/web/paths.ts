/** The path that a request names. */

/** As it came, also of a URL in absolute form, as proxies send it. */
export const pathOf = (url: string): string => {
  const target = url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?]*/i, "")
  const end = target.indexOf("?")
  return end === -1 ? target : target.slice(0, end)
}
