// A network namespace of the bench's own, in which the sockets of a server hold no more than they are
// told to. Otherwise Linux lets a send buffer grow to 4 MB (tcp_wmem, by the congestion window), and
// for most of a slow response it is the kernel that holds the rest, not the server that is measured.
import { start } from './processes.mjs';

const marker = 'BENCH_SEND_BUFFER';
const initialBytes = 16 * 1024; // the kernel's default
export const minSendBuffer = 4096;

/** The bound of send buffers in which this process runs; 0: the kernel's own. */
export const sendBufferHere = () => Number(process.env[marker] ?? 0);

// As another user than root: the same user in a user namespace, with the rights to its own network.
const unshare = [
  ...['unshare', '--net'],
  ...(process.getuid() === 0 ? [] : ['--map-current-user', '--keep-caps']),
];
const script = (most) =>
  `ip link set lo up && echo '${minSendBuffer} ${Math.min(initialBytes, most)} ${most}' > /proc/sys/net/ipv4/tcp_wmem && exec "$@"`;

function run(most, command, options) {
  const [file, ...args] = [...unshare, 'sh', '-c', script(most), 'sh', ...command];
  return start(file, args, options);
}

/**
 * Runs this program again, with its arguments, where send buffers hold `most` bytes. Returns its exit
 * code, or undefined with a word where the machine does not let it.
 */
export async function againWithSendBuffers(most, say) {
  const trial = run(most, ['true']);
  const { code } = await trial.exited;
  if (code !== 0) {
    say(`send buffers are the kernel's own: ${trial.output().trim().slice(-200)}`);
    return undefined;
  }
  // Its own end, by a signal too, is left to it; if this process goes, the kernel tells it.
  const again = run(most, [process.execPath, ...process.argv.slice(1)], {
    env: { [marker]: String(most) },
    inheritOutput: true,
  });
  return (await again.exited).code ?? 1;
}
