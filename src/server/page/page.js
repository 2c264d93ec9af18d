// Who is here, by Phoenix's client: one socket and one channel per tab. It joins the channel without a key and watches;
// who joins under a name is tracked from then on. The socket comes back by itself, under the same name.
;(() => {
  const parameters = new URLSearchParams(location.search)
  const room = parameters.get("room")?.trim() || "lobby"
  // What cannot stand in a token, such as a space that came along, cannot be sent either.
  const token = parameters.get("token")?.replace(/[^\w.-]/g, "") || undefined
  const $ = (id) => document.getElementById(id)

  /** How many names, and how many cursors, are shown. */
  const SHOWN = 1_000
  const CURSORS = 50
  /** How many may come at once and still be seen to come. */
  const FEW = 8
  /** Milliseconds between two showings of the list, however much happens. */
  const REST = 50
  /** How many lines the feed keeps. */
  const LINES = 200
  /** After a reconnect others need a moment to come back too, in milliseconds. Only then the feed says who has left. */
  const SETTLE = 5_000
  const RETRY = [50, 200, 500, 1_000]
  const RETRY_MOST = 2_000
  /** Milliseconds between two positions of the pointer that others are told. */
  const PACE = 60

  /** Under which name this tab is here, if it is. */
  let name
  /** Whether anything was heard yet; the first state is no news. */
  let begun = false
  let lost = false
  /** How often it was refused a socket since it had one. */
  let refusals = 0
  const { colorOf, keepOnly } = makeColors()
  const { chipsOf, isPointer, shown } = makeChips()

  /** The key of each connection, and the chips of its meta. */
  const refs = new Map()
  /** How many connections each key has, and the chips of all of them. */
  let here = new Map()
  /** Who was gone after a reconnect, and may be on the way back while `settling` runs. */
  const awaited = new Set()
  let settling
  const rows = new Map()
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" })

  // The connection

  const endPoint = new URL("socket", document.baseURI)
  endPoint.protocol = endPoint.protocol === "https:" ? "wss:" : "ws:"
  const socket = new Phoenix.Socket(endPoint.href, {
    authToken: token,
    reconnectAfterMs: (tries) => RETRY[tries - 1] ?? RETRY_MOST
  })
  let channel

  const enter = () => {
    channel = socket.channel(room, () => (name === undefined ? {} : { key: name, meta: pointer }))
    channel.on("presence_state", hearState)
    channel.on("presence_diff", hearDiff)
    channel.onError(showLost)
    channel.onClose(putOut)
    channel.join().receive("ok", opened).receive("error", notJoined)
  }

  const opened = () => {
    if (lost) {
      note("Connected again")
      clearTimeout(settling)
      settling = setTimeout(settle, SETTLE)
    }
    lost = false
    if (refusals > 0) $("problem").textContent = ""
    refusals = 0
    showStatus("live", "Live")
  }

  const showLost = () => {
    if (begun && !lost) note("Connection lost")
    lost = begun
    showStatus("lost", begun ? "Reconnecting…" : "Connecting…")
  }

  /** The client tries again by itself: to watch, if it was the name that was refused and not everybody for a while. */
  const notJoined = ({ reason }) => {
    if (name === undefined || reason.startsWith("presence is unavailable")) showRefusal(reason)
    else notHere(`You could not join: ${reason}`)
  }

  /** For this channel it is over. To watch is another one, which is refused if that is over too. */
  const putOut = () => {
    notHere("The server has put you out.")
    enter()
  }

  /** A socket that does not open does not say why; a request does. */
  const refused = async () => {
    if (socket.isConnected()) return
    let reason
    try {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
      const response = await fetch(`presence/${encodeURIComponent(room)}/count`, { headers })
      // A server on its way up or down may answer the one and not the other.
      if (response.ok && ++refusals > RETRY.length) reason = `is ${location.origin} among its allowed origins?`
      else if (response.status >= 400 && response.status < 500) reason = (await response.json()).error
    } catch {
      // The server is away.
    }
    if (!socket.isConnected() && reason !== undefined) showRefusal(reason)
  }

  const showRefusal = (reason) => {
    refusals ||= 1
    showStatus("lost", "Not connected")
    $("problem").textContent = `The server refuses this room: ${reason}`
  }

  const showStatus = (state, text) => {
    const status = $("status")
    status.dataset.state = state
    if (status.textContent !== text) status.textContent = text
    document.body.classList.toggle("stale", lost)
    $("notice").hidden = !lost
    $("as").textContent = lost ? "Once it returns, you will be back as" : "You are here as"
  }

  // Joining and leaving

  const HINT = $("hint").textContent

  /** A push that also serves to update: what is tracked is replaced. */
  const track = (payload) => channel.push("presence", { type: "presence", event: "track", ...payload })

  const join = (wanted) => {
    name = wanted
    pointer = told = {}
    sessionStorage.setItem("name", wanted)
    $("problem").textContent = ""
    $("me").textContent = wanted
    $("me").title = wanted
    swap(true)
    track({ key: wanted, payload: pointer }).receive("error", ({ reason }) => {
      if (name === wanted) notHere(`You could not join: ${reason}`)
    })
  }

  const leave = () => {
    name = undefined
    channel.push("presence", { type: "presence", event: "untrack" })
    swap(false)
  }

  const notHere = (problem) => {
    name = undefined
    swap(false)
    $("problem").textContent = problem
  }

  const swap = (joined) => {
    $("join").hidden = joined
    $("joined").hidden = !joined
    $("hint").textContent = joined ? "Others see where you point on this page." : HINT
    $(joined ? "leave" : "name").focus()
    showHere()
  }

  // Where one points: a meta that is updated

  /** Where the pointer is, in shares of the page's main part; empty while it is elsewhere. */
  let pointer = {}
  let told = pointer
  let pacing

  const point = (next) => {
    pointer = next
    if (pacing === undefined) tellPointer()
  }

  const tellPointer = () => {
    pacing = undefined
    if (pointer === told) return
    told = pointer
    if (name !== undefined && channel.state === "joined") track({ payload: pointer })
    pacing = setTimeout(tellPointer, PACE)
  }

  const share = (part, whole) => Math.round((part / whole) * 10_000) / 10_000

  const FADE = [{ opacity: 1 }, { opacity: 1, offset: 0.75 }, { opacity: 0.35 }]

  /** By the connection's ref. */
  const cursors = new Map()

  /** Shows where a connection points. With an update it has a new ref, and the cursor moves on. */
  const showCursor = (key, meta) => {
    const { phx_ref: ref, phx_ref_prev: previous, x, y } = meta
    const known = cursors.get(previous) ?? cursors.get(ref)
    cursors.delete(previous)
    cursors.delete(ref)
    if (key === name || !isPointer(meta) || (known === undefined && cursors.size >= CURSORS)) {
      known?.remove()
      return
    }
    const cursor = known ?? element("span", { className: "cursor" })
    cursor.dataset.name = key
    cursor.style.setProperty("--color", colorOf(key))
    cursor.style.setProperty("--x", x)
    cursor.style.setProperty("--y", y)
    if (known === undefined) $("cursors").append(cursor)
    // One that rests shows what is behind it.
    cursor.fading ??= cursor.animate(FADE, { duration: 4_000, fill: "forwards" })
    cursor.fading.currentTime = 0
    cursor.fading.play()
    cursors.set(ref, cursor)
  }

  const hideCursor = (ref) => {
    cursors.get(ref)?.remove()
    cursors.delete(ref)
  }

  // Who is here

  /** Each meta of a payload's map, whatever the keys are called. */
  const each = (entries, visit) => {
    for (const [key, { metas }] of Object.entries(entries)) for (const meta of metas) visit(key, meta)
  }

  const hearState = (state) => {
    refs.clear()
    each(state, (key, meta) => refs.set(meta.phx_ref, { key, chips: chipsOf(meta) }))
    for (const ref of [...cursors.keys()]) if (!refs.has(ref)) hideCursor(ref)
    each(state, showCursor)
    changed()
  }

  /** Who only points elsewhere changes nothing in the list. */
  const hearDiff = ({ joins, leaves }) => {
    let isNews = false
    each(joins, (key, meta) => {
      const chips = chipsOf(meta)
      const before = refs.get(meta.phx_ref_prev)
      refs.delete(meta.phx_ref_prev)
      refs.set(meta.phx_ref, { key, chips })
      isNews ||= before === undefined || before.chips.join("\n") !== chips.join("\n")
      showCursor(key, meta)
    })
    each(leaves, (_, { phx_ref }) => {
      isNews = refs.delete(phx_ref) || isNews
      hideCursor(phx_ref)
    })
    if (isNews) changed()
  }

  const changed = () => {
    const before = here
    here = new Map()
    for (const { key, chips } of refs.values()) {
      const known = here.get(key)
      if (known === undefined) here.set(key, { connections: 1, chips })
      else here.set(key, { connections: known.connections + 1, chips: [...known.chips, ...chips] })
    }
    keepOnly(here)
    if (begun) tell(before)
    begun = true
    showHere()
  }

  const tell = (before) => {
    const joined = [...here.keys()].filter((key) => !before.has(key) && !awaited.delete(key))
    const left = [...before.keys()].filter((key) => !here.has(key))
    if (settling === undefined) say("left", left)
    else for (const key of left) awaited.add(key)
    say("joined", joined)
  }

  const settle = () => {
    settling = undefined
    say("left", [...awaited])
    awaited.clear()
  }

  const order = new Intl.Collator().compare
  let resting
  let missed = false

  /** At once, and then not before a moment has passed. */
  const showHere = () => {
    missed = resting !== undefined
    if (missed) return
    list()
    resting = setTimeout(() => {
      resting = undefined
      if (missed) showHere()
    }, REST)
  }

  const list = () => {
    const keys = [...here.keys()].sort((a, b) => (b === name) - (a === name) || order(a, b)).slice(0, SHOWN)
    const listed = new Set(keys)
    for (const [key, { row }] of rows) {
      if (listed.has(key)) continue
      row.remove()
      rows.delete(key)
    }
    const isSeenToCome = rows.size > 0 && keys.length - rows.size <= FEW
    let next = $("here").firstElementChild
    for (const key of keys) {
      const known = rows.get(key) ?? makeRow(key, isSeenToCome)
      known.row.classList.toggle("mine", key === name)
      describe(known, here.get(key))
      if (known.row === next) next = next.nextElementSibling
      else $("here").insertBefore(known.row, next)
    }
    const more = here.size - keys.length
    $("count").textContent = here.size.toLocaleString("en")
    $("more").textContent = more > 0 ? `${keys.length.toLocaleString("en")} of them shown` : ""
    $("nobody").hidden = here.size > 0 || !begun
    document.title = begun ? `${room} · ${here.size} here` : room
  }

  const makeRow = (key, isSeenToCome) => {
    const avatar = element("span", { className: "avatar", ariaHidden: "true" })
    avatar.dataset.initial = initial(key)
    avatar.style.setProperty("--color", colorOf(key))
    const line = element("span", { className: "line" }, element("bdi", { className: "name", title: key }, key))
    const chips = element("span", { className: "chips" })
    const row = element("li", { className: isSeenToCome ? "comes" : "" }, avatar, line, chips)
    const made = { row, line, chips, said: "" }
    rows.set(key, made)
    return made
  }

  /** What stands beside and below a name. Most of the time it is what stands there already. */
  const describe = (known, { connections, chips }) => {
    const texts = shown(chips)
    const said = [connections, ...texts].join("\n")
    if (said === known.said) return
    known.said = said
    known.line.querySelector(".mark")?.remove()
    if (connections > 1) {
      const title = `In ${connections} tabs`
      known.line.append(element("span", { className: "mark", role: "img", title, ariaLabel: title }, `×${connections}`))
    }
    // Of a long one the end may be missing.
    const classOf = (text) => (text.length <= 8 ? "chip short" : "chip")
    known.chips.replaceChildren(
      ...texts.map((text) => element("span", { className: classOf(text), title: text }, text))
    )
  }

  const initial = (key) => [...new Intl.Segmenter().segment(key)][0].segment.toLocaleUpperCase()

  // The feed

  const say = (what, keys) => {
    if (keys.length === 0) return
    const named = keys.slice(0, 3)
    const parts = named.flatMap((key, at) => [
      at === 0 ? "" : at === keys.length - 1 ? " and " : ", ",
      element("bdi", {}, key)
    ])
    const more = keys.length - named.length
    write(what, ...parts, more > 0 ? ` and ${more} more ${what}` : ` ${what}`)
  }

  const note = (text) => write("note", text)

  const write = (className, ...parts) => {
    const feed = $("feed")
    const follows = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 40
    const now = new Date()
    const time = element("time", { dateTime: now.toISOString() }, clock.format(now))
    feed.append(element("p", { className }, time, element("span", {}, ...parts)))
    if (feed.children.length > LINES) feed.firstElementChild.remove()
    if (follows) feed.scrollTop = feed.scrollHeight
  }

  /** What people call themselves comes in as text and stays text. */
  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties)
    made.append(...children)
    return made
  }

  /** Who a token says one is. Only to show it: the server reads the token itself. */
  const subjectOf = (token) => {
    try {
      const bytes = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))
      const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))))
      return typeof sub === "string" ? sub : undefined
    } catch {
      return undefined
    }
  }

  // Begin

  $("room").textContent = room
  $("room").title = room
  speak({
    room,
    token,
    say: (text) => {
      $("said").textContent = text
    }
  })
  const subject = token === undefined ? undefined : subjectOf(token)
  $("name").value = subject ?? sessionStorage.getItem("name") ?? ""
  $("name").readOnly = subject !== undefined
  $("join").addEventListener("submit", (event) => {
    event.preventDefault()
    const wanted = $("name").value.trim().toWellFormed?.() ?? $("name").value.trim()
    if (wanted !== "") join(wanted)
  })
  $("leave").addEventListener("click", leave)
  const main = document.querySelector("main")
  main.addEventListener("pointermove", ({ clientX, clientY }) => {
    const { left, top, width, height } = main.getBoundingClientRect()
    point({ x: share(clientX - left, width), y: share(clientY - top, height) })
  })
  main.addEventListener("pointerleave", () => point({}))
  socket.onError(refused)
  socket.onClose(showLost)
  showHere()
  enter()
  socket.connect()
})()
