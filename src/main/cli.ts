#!/usr/bin/env node
/**
 * The program `hybrid-mpm`.
 *
 * Role: dispatches to the commands and gives every outcome its exit code; see `--help`.
 * Thread: main.
 * May not: hold any logic of its own that a test would want.
 */
import { inspect } from 'node:util';
import { loadNative } from '../listener/native.ts';
import { type Invocation, parseArguments, UsageError } from './cli/arguments.ts';
import { configurationText } from './cli/check-config.ts';
import { helpText } from './cli/help.ts';
import { EXIT_DEFECT, EXIT_FAILED, fail, type Shell, serve } from './cli/serve.ts';
import { processTerminal, status } from './cli/status.ts';
import { packageVersion } from './cli/version.ts';
import { ConfigError } from './config/directives.ts';
import { thisMachine } from './config/machine.ts';
import { loadConfiguration } from './config/sources.ts';
import { ServiceManager, takeInheritedSockets } from './service-manager.ts';
import { adminUrl, statusUrl } from './terminal/client.ts';

const EXIT_USAGE = 2;

const shell: Shell = {
  print: (line) => process.stdout.write(`${line}\n`),
  complain: (line) => process.stderr.write(`hybrid-mpm: ${line}\n`),
  exit: (code) => process.exit(code),
  onSignal: (signal, handler) => process.on(signal, handler),
};

// A reader that left (`| head`) or a terminal that went away is no reason to end a server.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const onDefect = (error: unknown): void => {
  shell.complain(`ERR_MPM_DEFECT: ${inspect(error)}`);
  shell.exit(EXIT_DEFECT);
};
process.on('uncaughtException', onDefect);
process.on('unhandledRejection', onDefect);

async function run(invocation: Invocation): Promise<void> {
  if (invocation.command === 'help') {
    return shell.print(helpText(packageVersion(), thisMachine()).trimEnd());
  }
  if (invocation.command === 'version') return shell.print(packageVersion());
  const { command, entry, parameters, configFile, flags, once, json, watch } = invocation;
  if (command === 'status' && entry !== '') {
    return status({ url: statusUrl(entry), once, json }, processTerminal());
  }
  const directory = process.cwd();
  const load = () => loadConfiguration({ directory, configFile, environment: process.env, flags });
  const configuration = await load();
  if (command === 'check-config') return shell.print(configurationText(configuration).trimEnd());
  const { directives, origins } = configuration;
  if (command === 'status') {
    return status({ url: adminUrl(directives.admin), once, json }, processTerminal());
  }
  const ownAddress = origins.get('listen')?.kind === 'default';
  const script = command === 'run' ? { arguments: parameters, ownAddress } : undefined;
  const reload = async () => (await load()).directives;
  const inherited = takeInheritedSockets(process.env, process.pid);
  const served = { entry, directives, script, watch, inherited, manager: serviceManager() };
  return serve(served, packageVersion(), shell, undefined, reload);
}

/** The native part is loaded only where there is somebody to tell. */
function serviceManager(): ServiceManager | undefined {
  if (process.env.NOTIFY_SOCKET === undefined) return undefined;
  return new ServiceManager(loadNative(), process.env, process.pid, shell.complain);
}

try {
  await run(parseArguments(process.argv.slice(2)));
} catch (error) {
  if (error instanceof UsageError) {
    shell.complain(`${error.message} (see hybrid-mpm --help)`);
    process.exitCode = EXIT_USAGE;
  } else if (error instanceof ConfigError) {
    for (const line of error.lines) shell.complain(line);
    process.exitCode = EXIT_FAILED;
  } else {
    fail(error, shell);
  }
}
