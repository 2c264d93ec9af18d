/** As much of a browser's `XMLHttpRequest` as phoenix.js asks for, over `node:http`. It is in place before any test. */
import { type ClientRequest, request } from "node:http"

class XHR {
  readyState = 0
  responseText = ""
  timeout = 0
  onreadystatechange: (() => void) | null = null
  onerror: (() => void) | null = null
  ontimeout: (() => void) | null = null
  private sent: ClientRequest | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private over = false
  private readonly headers: Record<string, string> = {}

  private method = ""
  private url = ""

  open(method: string, url: string): void {
    this.method = method
    this.url = url
  }

  setRequestHeader(name: string, value: string): void {
    this.headers[name] = value
  }

  send(body: string | null): void {
    const sent = request(this.url, { method: this.method, headers: this.headers }, (response) => {
      response.setEncoding("utf8")
      response.on("data", (text: string) => {
        this.responseText += text
      })
      response.on("end", () => this.end(this.onreadystatechange))
      response.on("error", () => this.fail())
    })
    sent.on("error", () => this.fail())
    this.sent = sent
    if (this.timeout > 0) {
      this.timer = setTimeout(() => {
        this.end(this.ontimeout)
        sent.destroy()
      }, this.timeout)
    }
    sent.end(body ?? undefined)
  }

  abort(): void {
    this.end(null)
    this.sent?.destroy()
  }

  /** A browser tells of an error by an empty response too. */
  private fail(): void {
    this.responseText = ""
    this.end(this.onreadystatechange)
  }

  private end(tell: (() => void) | null): void {
    if (this.over) return
    this.over = true
    clearTimeout(this.timer)
    this.readyState = 4
    tell?.()
  }
}

// Its older versions look for it in `self`.
Object.assign(globalThis, { self: globalThis, XMLHttpRequest: XHR })
