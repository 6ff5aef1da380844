// All workloads, in the order in which they run. Each has:
//   name, title             as printed
//   servers, quickServers   which run by default
//   needsBurn               whether a server must answer /burn?ms=N
//   needsFiles              whether a server must be able to serve a folder
//   needsTimer              whether it must answer /timer
//   settings                what a server's command is told: workers, closeEach, connections, requestsPerLife; files,
//                           a folder to serve instead of the small response; path of the small one
//   columns, ratio          how the figures are printed
//   before({say, tempDir})  before each server starts; may return further settings
//   after()                 after each server has ended
//   measure({url, base, port, path, adminPort, rootPid, options})  warms up, returns the figures
import { fileWindows } from './file-window.mjs';
import { idle8000 } from './idle.mjs';
import { jumping } from './jumping.mjs';
import { mixedCpu } from './mixed-cpu.mjs';
import { proxy1m, proxySmall } from './proxy.mjs';
import { recycling } from './recycling.mjs';
import { thinkTime } from './think-time.mjs';
import { timer } from './timer.mjs';
import { applications, browser, newConnection, pipelined, small1, small64 } from './wrk-window.mjs';

const windows = [small64, small1, browser, pipelined, newConnection];

export const workloads = [
  ...windows,
  applications,
  ...fileWindows,
  mixedCpu,
  jumping,
  idle8000,
  thinkTime,
  recycling,
  timer,
  proxySmall,
  proxy1m,
];
