// How to speak to this server, in lines that work where they are pasted, and the way to a room of one's own.
window.speak = ({ room, token, say }) => {
  const $ = (id) => document.getElementById(id)
  // What `encodeURIComponent` leaves, and a shell or a string would end at.
  const encoded = encodeURIComponent(room).replace(/['()*!]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)
  const topic = new URL(`presence/${encoded}`, document.baseURI).href.replace(/\?.*$/, "")
  const script = `${topic}/events?key=Guest&meta={"via":"JavaScript"}`
  // A token that stands on the screen is everybody's.
  const header = token === undefined ? "" : '-H "authorization: Bearer $TOKEN" '
  const tail = token === undefined ? "'" : "&access_token=' + TOKEN"

  $("curl").textContent = `curl ${header}'${topic}'`
  $("script").textContent =
    `new EventSource('${script}${tail}).addEventListener("diff", ({ data }) => console.log(data))`
  $("token").hidden = token === undefined

  const socket = new URL("socket", document.baseURI)
  $("phoenix").textContent = socket.href.replace(/^http/, "ws").replace(/\?.*$/, "")
  $("supabase").textContent = new URL("realtime/v1", document.baseURI).href.replace(/^http/, "ws").replace(/\?.*$/, "")

  /** Also where a page has no clipboard, as it is not served over TLS. */
  const copy = async (from) => {
    try {
      await navigator.clipboard.writeText(from.textContent)
      return true
    } catch {
      getSelection().selectAllChildren(from)
      return document.execCommand("copy")
    }
  }

  for (const button of document.querySelectorAll("button[data-copy]")) {
    let back
    button.addEventListener("click", async () => {
      const copied = await copy($(button.dataset.copy))
      button.textContent = copied ? "Copied" : "Press Ctrl+C"
      say(copied ? "Copied" : "Selected: press Ctrl+C")
      clearTimeout(back)
      back = setTimeout(() => {
        button.textContent = "Copy"
      }, 2_000)
    })
  }

  const WORDS = [
    ["amber", "brave", "calm", "clever", "cosy", "early", "gentle", "green", "happy", "keen", "lucky", "quiet"],
    ["badger", "beaver", "falcon", "heron", "lynx", "marten", "otter", "owl", "robin", "stork", "swift", "wren"]
  ]
  const [first, second, number] = crypto.getRandomValues(new Uint16Array(3))
  const own = new URLSearchParams({ room: `${WORDS[0][first % 12]}-${WORDS[1][second % 12]}-${number}` })
  if (token !== undefined) own.set("token", token)
  $("own").href = `?${own}`
}
