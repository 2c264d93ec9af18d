// Who is here: one EventSource per tab. Without a name it watches; with one it is also what keeps that name present.
// It comes back by itself when the connection is lost, under the same name, and goes on where it was if it can.
;(() => {
  const room = new URLSearchParams(location.search).get("room")?.trim() || "lobby"
  const $ = (id) => document.getElementById(id)

  /** How many names are written out. */
  const SHOWN = 500
  /** How many lines the feed keeps. */
  const LINES = 200
  /** After a reconnect others need a moment to come back too, in milliseconds. Only then the feed says who has left. */
  const SETTLE = 5_000
  const RETRY = 2_000

  /** Under which name this tab is here, if it is. */
  let name
  let source
  let retry
  /** Whether anything was heard yet; the first snapshot is no news. */
  let begun = false
  let lost = false
  /** The key of each connection. */
  let refs = new Map()
  /** How many connections each key has. */
  let here = new Map()
  /** Who was gone after a reconnect, and may be on the way back while `settling` runs. */
  const awaited = new Set()
  let settling
  const rows = new Map()
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" })

  // The connection

  const address = () => {
    const query = name === undefined ? "" : `?${new URLSearchParams({ key: name })}`
    return `presence/${encodeURIComponent(room)}/events${query}`
  }

  const connect = () => {
    clearTimeout(retry)
    source?.close()
    const current = new EventSource(address())
    source = current
    const on = (type, listen) =>
      current.addEventListener(type, (event) => {
        if (source === current) listen(event)
      })
    on("open", opened)
    on("snapshot", (event) => {
      const { connections } = JSON.parse(event.data)
      changeTo(new Map(connections.map(({ ref, key }) => [ref, key])))
    })
    on("diff", (event) => {
      const { joins, leaves, updates } = JSON.parse(event.data)
      const next = new Map(refs)
      for (const { ref } of leaves) next.delete(ref)
      for (const { ref, key, previousRef } of updates) {
        next.delete(previousRef)
        next.set(ref, key)
      }
      for (const { ref, key } of joins) next.set(ref, key)
      changeTo(next)
    })
    on("error", () => {
      showLost()
      // Else the browser tries again by itself.
      if (current.readyState === EventSource.CLOSED) refused()
    })
  }

  const opened = () => {
    if (lost) {
      note("Connected again")
      clearTimeout(settling)
      settling = setTimeout(settle, SETTLE)
    }
    lost = false
    showStatus("live", "Live")
  }

  const showLost = () => {
    if (begun && !lost) note("Connection lost")
    lost = begun
    showStatus("lost", begun ? "Reconnecting…" : "Connecting…")
  }

  /** An EventSource does not say why it was refused. */
  const refused = async () => {
    const asked = source
    const abort = new AbortController()
    let reason
    try {
      const response = await fetch(address(), { signal: abort.signal })
      if (response.status >= 400 && response.status < 500) reason = (await response.json()).error
    } catch {
      // The server is away.
    }
    abort.abort()
    if (source !== asked) return
    if (reason === undefined) {
      retry = setTimeout(connect, RETRY)
    } else if (name === undefined) {
      showStatus("lost", "Not connected")
      $("problem").textContent = `The server refuses this room: ${reason}`
    } else {
      leave()
      $("problem").textContent = `You could not join: ${reason}`
    }
  }

  const showStatus = (state, text) => {
    const status = $("status")
    status.dataset.state = state
    if (status.textContent !== text) status.textContent = text
    document.body.classList.toggle("stale", lost)
    $("notice").hidden = !lost
    $("notice").textContent =
      `This is who was here when the connection was lost.${name === undefined ? "" : ` You will be back as ${name} once it returns.`}`
  }

  // Joining and leaving

  const join = (wanted) => {
    name = wanted
    sessionStorage.setItem("name", wanted)
    $("problem").textContent = ""
    $("me").textContent = wanted
    swap(true)
    connect()
  }

  const leave = () => {
    name = undefined
    swap(false)
    connect()
  }

  const swap = (joined) => {
    $("join").hidden = joined
    $("joined").hidden = !joined
    $(joined ? "leave" : "name").focus()
    showHere()
  }

  // Who is here

  const changeTo = (next) => {
    const before = here
    refs = next
    here = new Map()
    for (const key of refs.values()) here.set(key, (here.get(key) ?? 0) + 1)
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

  const showHere = () => {
    const order = new Intl.Collator().compare
    const keys = [...here.keys()].sort((a, b) => (b === name) - (a === name) || order(a, b))
    for (const [key, row] of rows) {
      if (here.has(key)) continue
      row.remove()
      rows.delete(key)
    }
    const list = $("here")
    keys.slice(0, SHOWN).forEach((key, at) => {
      const row = rows.get(key) ?? makeRow(key)
      row.classList.toggle("mine", key === name)
      showMark(row, here.get(key))
      if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null)
    })
    for (const key of keys.slice(SHOWN)) {
      rows.get(key)?.remove()
      rows.delete(key)
    }
    $("count").textContent = keys.length
    $("nobody").hidden = keys.length > 0 || !begun
    $("more").hidden = keys.length <= SHOWN
    $("more").textContent = `and ${keys.length - SHOWN} more`
    document.title = begun ? `${room} · ${keys.length} here` : room
  }

  const makeRow = (key) => {
    const avatar = element("span", { className: "avatar", ariaHidden: "true" })
    avatar.dataset.initial = initial(key)
    avatar.style.setProperty("--hue", hue(key))
    const row = element("li", {}, avatar, element("bdi", { className: "name" }, key))
    rows.set(key, row)
    return row
  }

  const showMark = (row, connections) => {
    row.querySelector(".mark")?.remove()
    if (connections < 2) return
    const mark = element("span", { className: "mark", role: "img", title: `In ${connections} tabs` }, `×${connections}`)
    mark.ariaLabel = `in ${connections} tabs`
    row.append(mark)
  }

  const initial = (key) => [...new Intl.Segmenter().segment(key)][0].segment.toLocaleUpperCase()

  const hue = (key) => {
    let hash = 0
    for (const character of key) hash = (hash * 31 + character.codePointAt(0)) % 65_521
    // The golden angle sets neighbours far apart.
    return Math.round(hash * 137.5) % 360
  }

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

  // Begin

  $("room").textContent = room
  $("name").value = sessionStorage.getItem("name") ?? ""
  $("join").addEventListener("submit", (event) => {
    event.preventDefault()
    const wanted = $("name").value.trim().toWellFormed?.() ?? $("name").value.trim()
    if (wanted !== "") join(wanted)
  })
  $("leave").addEventListener("click", leave)
  addEventListener("pagehide", () => source.close())
  addEventListener("pageshow", (event) => {
    if (event.persisted) connect()
  })
  showHere()
  connect()
})()
