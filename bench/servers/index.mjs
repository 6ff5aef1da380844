// All servers, in the order of the tables. Each has:
//   name, about   as printed
//   burns         whether it answers /burn?ms=N
//   files         whether it serves the folder settings.files
//   timers        whether it answers /timer
//   proxies       whether it passes on to settings.upstreamPort, and does nothing else
//   path          of the small response, where it is not /
//   packages      npm packages that it needs in bench/node_modules
//   hasAdmin      whether it serves /server-status?auto, or what its workload needs of it, on a port of its own
//   probe({dir})  {version} or {missing: why}; also {runtime} if it is another one than node
//   command({port, adminPort, dir, settings})  {file, args, cwd?} that runs in the foreground
import { apache } from './apache.mjs';
import { floor, floorUring } from './floor.mjs';
import { frameworks } from './frameworks.mjs';
import { hybrid, hybridDispatch, hybridUnrecorded } from './hybrid.mjs';
import {
  bun,
  fastify,
  node,
  nodeCluster2,
  nodeCluster8,
  nodeClusterRecycling,
} from './javascript.mjs';
import { nginx } from './nginx.mjs';
import { proxies } from './proxies.mjs';

const scriptServers = [bun, node, nodeCluster2, nodeCluster8, nodeClusterRecycling, fastify];

export const servers = [
  hybrid,
  hybridDispatch,
  hybridUnrecorded,
  floor,
  floorUring,
  nginx,
  ...scriptServers,
  ...frameworks,
  apache,
  ...proxies,
];
