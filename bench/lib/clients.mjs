// The bench's side of a client program that runs as a process of its own (idle-client.mjs,
// think-client.mjs): one question at a time over IPC, every answer bounded in time.
import { fileURLToPath } from 'node:url';
import { start, stop } from './processes.mjs';

export function startClient(fileName, args) {
  const path = fileURLToPath(new URL(fileName, import.meta.url));
  const running = start(process.execPath, [path, JSON.stringify(args)], { ipc: true });

  function ask(command, timeoutMs) {
    return new Promise((resolve, reject) => {
      const settle = (action, value) => {
        clearTimeout(guard);
        running.child.off('message', onMessage);
        action(value);
      };
      const onMessage = (answer) => {
        if (answer.error !== undefined) settle(reject, new Error(`${fileName}: ${answer.error}`));
        else settle(resolve, answer);
      };
      const guard = setTimeout(
        () => settle(reject, new Error(`${fileName}: "${command}" took over ${timeoutMs} ms`)),
        timeoutMs,
      );
      running.child.on('message', onMessage);
      running.exited.then(() =>
        settle(reject, new Error(`${fileName} ended: ${running.output().trim().slice(-300)}`)),
      );
      running.child.send({ command }, (error) => {
        if (error) settle(reject, new Error(`${fileName}: ${error.message}`));
      });
    });
  }

  return { ask, stop: () => stop(running, 1000) };
}
