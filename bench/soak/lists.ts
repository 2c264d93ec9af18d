/** The lists of a replica, over HTTP. */
import { Agent, get } from "node:http"
import { text } from "node:stream/consumers"
import type { Listed } from "./check.js"

type Json = ReadonlyArray<{ readonly key: string; readonly metas: ReadonlyArray<{ readonly n: number }> }>

const fetchText = (agent: Agent, port: number, path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ agent, host: "127.0.0.1", port, path }, (response) => {
      text(response).then((body) => {
        if (response.statusCode === 200) resolve(body)
        else reject(new Error(`GET ${path} of ${port} is answered ${response.statusCode}: ${body}`))
      }, reject)
    }).on("error", reject)
  })

/** Of all rooms, a few at a time. */
export const listsOf = async (port: number, rooms: Iterable<string>): Promise<ReadonlyMap<string, Listed>> => {
  const agent = new Agent({ keepAlive: true })
  const lists = new Map<string, Listed>()
  const queue = [...rooms]
  const work = async (): Promise<void> => {
    for (let room = queue.pop(); room !== undefined; room = queue.pop()) {
      const list: Json = JSON.parse(await fetchText(agent, port, `/presence/${room}`))
      lists.set(room, new Map(list.map(({ key, metas }) => [key, metas.map(({ n }) => n)])))
    }
  }
  await Promise.all([work(), work(), work(), work()])
  agent.destroy()
  return lists
}
