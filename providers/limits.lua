-- An account's limits, shared by processes: `providers/limits.py` and `limit_tiers.py` in one
-- atomic step, on the clock of this server. What they promise is said there.
--
-- KEYS  counts (what the keys of counts begin with); levels, records (hashes); ahead, open,
--       waiting (sorted sets); due (hash)
-- ARGV  operation, now in ms ("": this server's), call, tokens, tiers, settings (both JSON)
-- Returns the milliseconds to wait; 0 where there is nothing to wait for.
local COUNTS, LEVELS, RECORDS, AHEAD, OPEN, WAITING, DUE = unpack(KEYS)
local operation, call, tokens = ARGV[1], ARGV[3], tonumber(ARGV[4])
local tiers, settings = cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
local PARTS, REACH = settings.parts, settings.reach
local BOOKED, MADE = ':booked:', ':made:'
local FORGOTTEN_MS = 2 * 86400000

local now = tonumber(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Lua writes a number of more than 14 digits short.
local function text(number) return string.format('%.0f', number) end

local function weight(tier, of) return tier.per_token and of or 1 end

local function part(tier, at) return math.floor(at / tier.width) end

-- Records: at, tokens, since, kept (until), before (the levels, as text).
local function record_of(name)
    local found = redis.call('HGET', RECORDS, name)
    return found and cjson.decode(found)
end

local function keep(name, record) redis.call('HSET', RECORDS, name, cjson.encode(record)) end

-- The window ------------------------------------------------------------------------------------

-- A key for each part, which goes when no window reaches it any more.
local function part_key(which, tier, n) return COUNTS .. which .. tier.name .. ':' .. text(n) end

-- `which` of a tier's counts: BOOKED, or MADE of it.
local function counted(which, tier, first, last)
    local keys = {}
    for n = first, last do keys[#keys + 1] = part_key(which, tier, n) end
    local found, held = redis.call('MGET', unpack(keys)), {}
    for n = first, last do held[n] = tonumber(found[n - first + 1] or 0) end
    return held
end

local function add(which, tier, at, amount)
    if amount == 0 then return end
    local n = part(tier, at)
    local key = part_key(which, tier, n)
    if redis.call('INCRBY', key, text(amount)) < 0 then redis.call('SET', key, '0') end
    local left = (n + 2 * REACH) * tier.width - now
    redis.call('PEXPIRE', key, text(math.max(left, tier.width)))
end

local function add_all(which, at, of, sign)
    for _, tier in ipairs(tiers) do add(which, tier, at, sign * weight(tier, of)) end
end

local function clear(which, tier, at, amount, reach)
    local last = part(tier, at)
    local held, sum = counted(which, tier, last - reach, last), 0
    for n = last - reach, last do sum = sum + held[n] end
    for n = last - reach, last do
        if sum + amount <= tier.limit then break end
        if held[n] > 0 then
            sum = sum - held[n]
            at = math.max(at, (n + reach + 1) * tier.width)
        end
    end
    return at
end

-- The pace: GCRA, in microseconds -----------------------------------------------------------------

local function number(field) return tonumber(redis.call('HGET', LEVELS, field) or 0) end

local function level(tier) return number('level:' .. tier.name) end

local function set_level(tier, value)
    redis.call('HSET', LEVELS, 'level:' .. tier.name, text(value))
end

local function after(tier, before, at, amount)
    if not tier.burst or amount == 0 then return before end
    return math.max(before, at * 1000) + amount * tier.emission_us
end

local function paced(tier, before, at, amount)
    if not tier.burst or amount == 0 then return at end
    local passes = after(tier, before, at, amount)
        - math.max(tier.burst, amount) * tier.emission_us
    if passes <= at * 1000 then return at end
    return at + math.ceil((passes - at * 1000) / 1000)
end

local function move(tier, amount)
    local field, before = 'moved:' .. tier.name, level(tier)
    local moved = amount > 0 and after(tier, before, now, amount)
        or before + amount * tier.emission_us
    set_level(tier, moved)
    redis.call('HSET', LEVELS, field, text(number(field) + moved - before))
end

local function pass_pace(record)
    record.before = {}
    for i, tier in ipairs(tiers) do
        local before = level(tier)
        record.before[i] = text(before - number('moved:' .. tier.name))
        set_level(tier, after(tier, before, record.at, weight(tier, record.tokens)))
    end
end

-- Bookings --------------------------------------------------------------------------------------

local function book()
    local at, last = now, redis.call('ZREVRANGE', AHEAD, 0, 0)[1]
    local before = last and record_of(last)
    if before then at = math.max(at, before.at) end
    local tried
    repeat
        tried = at
        for _, tier in ipairs(tiers) do
            local amount = weight(tier, tokens)
            at = clear(BOOKED, tier, paced(tier, level(tier), at, amount), amount, REACH)
        end
    until at == tried
    local record = {at = at, tokens = tokens, since = now, kept = 0}
    redis.call('ZADD', AHEAD, redis.call('HINCRBY', LEVELS, 'order', 1), call)
    add_all(BOOKED, at, tokens, 1)
    pass_pace(record)
    keep(call, record)
    return record
end

-- A tier's level before `later`, without a record that was before it.
local function level_without(i, tier, record, later)
    local moved, amount = number('moved:' .. tier.name), weight(tier, record.tokens)
    local before = tonumber(record.before[i]) + moved
    if record.at > now then return before end
    local passed = later and tonumber(later.before[i]) + moved or level(tier)
    local reached = after(tier, before, record.at, amount)
    if reached > before and reached > now * 1000 then
        passed = passed - amount * tier.emission_us
    end
    return passed
end

local function take_out(name, record)
    local later = redis.call('ZRANGE', AHEAD, redis.call('ZRANK', AHEAD, name) + 1, -1)
    redis.call('ZREM', AHEAD, name)
    redis.call('HDEL', RECORDS, name)
    add_all(BOOKED, record.at, record.tokens, -1)
    local next_one = later[1] and record_of(later[1])
    for i, tier in ipairs(tiers) do
        if record.before[i] then
            set_level(tier, level_without(i, tier, record, next_one))
        end
    end
    for _, other in ipairs(later) do
        local theirs = record_of(other)
        pass_pace(theirs)
        keep(other, theirs)
    end
end

-- Returns the first moment from now on at which the calls made leave room for this one.
local function clear_of_made(record)
    local at = now
    for _, tier in ipairs(tiers) do
        at = math.max(at, clear(MADE, tier, now, weight(tier, record.tokens), PARTS))
    end
    return at
end

-- Open requests ---------------------------------------------------------------------------------

-- Who waits for an open request to end, first come first, and when they ask again.
local function line()
    local due, all = {}, redis.call('HGETALL', DUE)
    for n = 1, #all, 2 do due[all[n]] = tonumber(all[n + 1]) end
    return redis.call('ZRANGE', WAITING, 0, -1), due
end

local function wait_for_a_slot()
    if not settings.most_open then return 0 end
    local before, coming, known = 0, 0, false
    local names, due = line()
    for _, other in ipairs(names) do
        known = other == call
        if known then break end
        before = before + 1
        if (due[other] or 0) <= now + settings.soon then coming = coming + 1 end
    end
    if redis.call('ZCARD', OPEN) + coming < settings.most_open then return 0 end
    local open_ms = tonumber(redis.call('HGET', LEVELS, 'open_ms') or settings.first_guess)
    local wait = math.floor((before + 1) * open_ms / settings.most_open)
    local longest = math.max(settings.longest, settings.longest_each * #names)
    wait = math.min(math.max(wait, settings.shortest), longest)
    if not known then
        redis.call('ZADD', WAITING, redis.call('HINCRBY', LEVELS, 'order', 1), call)
    end
    redis.call('HSET', DUE, call, text(now + wait))
    return wait
end

local function leave_line(name)
    redis.call('ZREM', WAITING, name)
    redis.call('HDEL', DUE, name)
end

local function forget()
    local first = 0
    while true do
        local name = redis.call('ZRANGE', AHEAD, first, first)[1]
        local record = name and record_of(name)
        if not name or (record and record.at + settings.grace > now) then break end
        if record and record.kept > now then
            first = first + 1
        else
            redis.call('ZREM', AHEAD, name)
            redis.call('HDEL', RECORDS, name)
            if record then add_all(BOOKED, record.at, record.tokens, -1) end
        end
    end
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', now)) do
        redis.call('ZREM', OPEN, name)
        redis.call('HDEL', RECORDS, name)
    end
    local names, due = line()
    for _, name in ipairs(names) do
        if (due[name] or 0) + settings.line_grace <= now then leave_line(name) end
    end
end

local function admit()
    forget()
    if redis.call('ZREM', OPEN, call) == 1 then redis.call('HDEL', RECORDS, call) end
    local record = record_of(call) or book()
    if record.at > now then return record.at - now end
    local wait = clear_of_made(record) - now
    if wait == 0 then wait = wait_for_a_slot() end
    if wait > 0 then
        record.kept = now + wait + settings.grace
        keep(call, record)
        return wait
    end
    leave_line(call)
    redis.call('ZREM', AHEAD, call)
    for _, tier in ipairs(tiers) do
        local amount = weight(tier, record.tokens)
        add(MADE, tier, now, amount)
        if part(tier, record.at) ~= part(tier, now) then
            add(BOOKED, tier, record.at, -amount)
            add(BOOKED, tier, now, amount)
        end
    end
    record.at = now
    keep(call, record)
    redis.call('ZADD', OPEN, now + settings.lease, call)
    return 0
end

local function ended()
    local record = record_of(call)
    if redis.call('ZREM', OPEN, call) == 0 or not record then return 0 end
    redis.call('HDEL', RECORDS, call)
    local open_ms = tonumber(redis.call('HGET', LEVELS, 'open_ms') or settings.first_guess)
    redis.call('HSET', LEVELS, 'open_ms', text(math.floor((4 * open_ms + now - record.at) / 5)))
    if tokens then
        for _, tier in ipairs(tiers) do
            if tier.per_token then
                add(BOOKED, tier, record.at, tokens - record.tokens)
                add(MADE, tier, record.at, tokens - record.tokens)
                if now - record.at < tier.interval then move(tier, tokens - record.tokens) end
            end
        end
    end
    return 0
end

local function cancel()
    leave_line(call)
    local record = record_of(call)
    if not record then return 0 end
    if redis.call('ZSCORE', AHEAD, call) then
        take_out(call, record)
    elseif redis.call('ZREM', OPEN, call) == 1 then
        redis.call('HDEL', RECORDS, call)
        add_all(BOOKED, record.at, record.tokens, -1)
        add_all(MADE, record.at, record.tokens, -1)
    end
    return 0
end

-- `call` is a JSON list of those that are open still.
local function renew()
    for _, name in ipairs(cjson.decode(call)) do
        if redis.call('HEXISTS', RECORDS, name) == 1 then
            redis.call('ZADD', OPEN, 'XX', now + settings.lease, name)
        end
    end
    return 0
end

local wait = ({admit = admit, ended = ended, cancel = cancel, renew = renew})[operation]()
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, FORGOTTEN_MS) end
return wait
