/** A service worker: the page's own files from the network; without one, as last seen. */

const OWN = /(\/|\.(html|css|js|mjs|wasm|model))$/;

async function answer(request) {
  const cache = await caches.open("bitcodec");
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  const own = origin === location.origin && OWN.test(pathname);
  if (own && event.request.method === "GET") event.respondWith(answer(event.request));
});
