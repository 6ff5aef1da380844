// Requests that compute for seconds, kept apart from the light ones.
//   hybrid-mpm serve examples/lengthy.mjs --lengthy-workers=2
//   curl 'http://localhost:8080/report/2026?seconds=5'   a declared route
//   curl 'http://localhost:8080/primes?below=20000000'   decided by the handler
//   curl  http://localhost:8080/                         light

/** Always for a lengthy worker. */
export const lengthy = ['/report/*'];
export const deadlines = { '/report/*': '60s', '/primes': '60s' };

function spin(seconds) {
  const end = performance.now() + seconds * 1000;
  let turns = 0;
  while (performance.now() < end) turns++;
  return turns;
}

function countPrimes(below) {
  const composite = new Uint8Array(below);
  let count = 0;
  for (let n = 2; n < below; n++) {
    if (composite[n]) continue;
    count++;
    for (let multiple = n * n; multiple < below; multiple += n) composite[multiple] = 1;
  }
  return count;
}

export default {
  fetch(request, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname.startsWith('/report/')) {
      const turns = spin(Math.min(60, Number(searchParams.get('seconds') ?? 5)));
      return Response.json({ report: pathname.slice(8), turns });
    }
    if (pathname === '/primes') {
      const below = Math.min(1e8, Number(searchParams.get('below') ?? 1e6));
      // A small one is answered here and now.
      if (below < 100_000) return Response.json({ below, primes: countPrimes(below) });
      return context.lengthy(() => Response.json({ below, primes: countPrimes(below) }));
    }
    return new Response('light\n');
  },
};
