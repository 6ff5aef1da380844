/**
 * Has the listener listen on one address, `::` meaning every one the machine has.
 *
 * Thread: main.
 */
import type { ListenAddress, ListenProtocol } from '../listener/acceptor.ts';

export interface ListeningPart {
  listen(
    host: string,
    port: number,
    v6Only: boolean,
    protocol?: ListenProtocol | null,
  ): ListenAddress;
}

/**
 * A dual-stack socket for `::`, or IPv4 alone where the machine has no IPv6.
 * @param host numeric
 * @param protocol null: HTTP/1.1
 * @throws as `Acceptor.listen`
 */
export function bindAddress(
  listener: ListeningPart,
  host: string,
  port: number,
  protocol: ListenProtocol | null = null,
): ListenAddress {
  if (host !== '::') return listener.listen(host, port, true, protocol);
  try {
    return listener.listen('::', port, false, protocol);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MPM_ADDRESS') throw error;
    return listener.listen('0.0.0.0', port, false, protocol);
  }
}
