-- Given to every wrk. It prints the summary as one line of JSON, and takes its settings from the
-- environment: BENCH_PIPELINE, requests per batch; BENCH_LIMIT, requests after which to stop (and
-- BENCH_CONNECTIONS, which wrk does not tell its script). Requests are made once,
-- in init, so that the load generator stays cheap.
local ffi = require('ffi')
ffi.cdef [[
  typedef struct { long seconds; long microseconds; } bench_timeval;
  int gettimeofday(bench_timeval *now, void *zone);
]]

local pipeline = tonumber(os.getenv('BENCH_PIPELINE') or '1')
local limit = tonumber(os.getenv('BENCH_LIMIT') or '0')
local connections = tonumber(os.getenv('BENCH_CONNECTIONS') or '1')
local threads = {}

local function now_us()
  local now = ffi.new('bench_timeval')
  ffi.C.gettimeofday(now, nil)
  return tonumber(now.seconds) * 1e6 + tonumber(now.microseconds)
end

function setup(thread)
  threads[#threads + 1] = thread
end

-- wrk.init is replaced rather than `request` defined: with a global `request` wrk would call Lua
-- for every batch.
local base_init = wrk.init
wrk.init = function(args)
  base_init(args)
  local batch = string.rep(wrk.request(), pipeline)
  wrk.request = function() return batch end
  started_us = now_us()
end

if limit > 0 then
  local count = 0
  function request()
    count = count + 1
    if count == limit then
      stopped_us = now_us()
      wrk.thread:stop()
    end
    return wrk.request()
  end
end

-- wrk "corrects" its latencies for requests that an open-loop client would have sent meanwhile
-- (stats_correct in wrk's stats.c): for each value n above twice the expected interval it adds
-- n - interval, n - 2 * interval and so on. That is no measured latency, and with pipelining the
-- interval is that of a request where the values are of batches, so that the percentiles come out
-- as nonsense. Each value k above the interval was so increased by exactly what now stands at
-- k + interval; subtracting it gives back what was measured. Whether that has worked is seen from
-- the sum, which must be the number of recorded batches.
ffi.cdef [[
  typedef struct { uint64_t count, limit, min, max; uint64_t data[]; } bench_stats;
]]

local function measured_latencies(latency, summary, connections)
  local stats = ffi.cast('bench_stats **', latency)[0]
  local min, max = tonumber(stats.min), tonumber(stats.max)
  if min ~= latency.min or max ~= latency.max then return nil end
  local rounds = math.floor(summary.requests / connections)
  local interval = rounds > 0 and math.floor(summary.duration / rounds) or max
  local counts, total = {}, 0
  for k = min, max do
    local count = tonumber(stats.data[k])
    if k > interval and k + interval <= max then
      count = count - tonumber(stats.data[k + interval])
    end
    if count < 0 then return nil end
    counts[k] = count
    total = total + count
  end
  -- Requests of batches that were not complete at the end make the difference.
  local batches = summary.requests / pipeline
  if total > batches + 1 or total < batches - connections - 1 then return nil end
  return function(percent)
    local rank, seen = math.max(1, math.ceil(total * percent / 100)), 0
    for k = min, max do
      seen = seen + counts[k]
      if seen >= rank then return k end
    end
    return max
  end
end

function done(summary, latency)
  -- After an early stop wrk still reports the whole duration it was asked for.
  local duration_us = summary.duration
  local stopped = threads[1]:get('stopped_us')
  if stopped then duration_us = stopped - threads[1]:get('started_us') end
  local errors = summary.errors
  local measured = measured_latencies(latency, summary, connections)
  local percentile = measured or function(percent) return latency:percentile(percent) end
  print(string.format(
    '\nBENCH {"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"p999Us":%d,"maxUs":%d,"measured":%s,' ..
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
    summary.requests, duration_us, percentile(50), percentile(99), percentile(99.9), latency.max,
    measured and 'true' or 'false',
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
