-- What callers and models have used (serving/redis_windows.py): one question, one step.
--
-- KEYS[1] is what all keys begin with; they share its hash tag, so they lie on one node.
-- ARGV: operation, now in milliseconds ("" for the server's clock), then what the operation takes.
-- Amounts travel as text: a number of JSON has too few digits for nano-dollars.
--
-- Of each scope ("caller:alice", "model:architect"):
--   …:asked  ids by when they were asked, for a day
--   …:held   what open requests hold: tokens, nano
--   …:KIND   what settled ones took, in buckets of time; a bucket counts as long as its end is in
--            the window, so never too little
--   …:total  nano-dollars, for ever

local prefix, operation = KEYS[1], ARGV[1]
local now = ARGV[2]
if now == "" then
    local clock = redis.call("TIME")
    now = clock[1] * 1000 + math.floor(clock[2] / 1000)
else
    now = tonumber(now)
end

local MINUTE, DAY, MONTH = 60000, 86400000, 2592000000
local KEPT_S = 31 * 86400
-- kind: what it sums up, its window, the width of its buckets
local KINDS = {
    ["tokens:minute"] = { "tokens", MINUTE, 1000 },
    ["tokens:day"] = { "tokens", DAY, MINUTE },
    ["nano:day"] = { "nano", DAY, MINUTE },
    ["nano:month"] = { "nano", MONTH, 3600000 },
}

local function text(number)
    return string.format("%.0f", number)
end

local function key(...)
    return prefix .. ":" .. table.concat({ ... }, ":")
end

local function number(value)
    return tonumber(value or "0") or 0
end

-- The sum of a window with what is held, and when the oldest bucket of it leaves.
local function used(scope, kind)
    local what, window, width = unpack(KINDS[kind])
    local sum, oldest = number(redis.call("HGET", key(scope, "held"), what)), nil
    local buckets = redis.call("HGETALL", key(scope, kind))
    for i = 1, #buckets, 2 do
        local leaves = (tonumber(buckets[i]) + 1) * width + window
        if leaves > now then
            sum = sum + tonumber(buckets[i + 1])
            if oldest == nil or leaves < oldest then
                oldest = leaves
            end
        end
    end
    return sum, math.max((oldest or now) - now, 1000)
end

local function refused(fields)
    fields.answer = "refused"
    return cjson.encode(fields)
end

local function requests_refused(scope, limits)
    local asked = key(scope, "asked")
    redis.call("ZREMRANGEBYSCORE", asked, "-inf", now - DAY)
    for _, tier in ipairs({ { "requests_per_minute", MINUTE }, { "requests_per_day", DAY } }) do
        local name, window = tier[1], tier[2]
        local limit = number(limits[name])
        if limit > 0 then
            local found = redis.call("ZREVRANGE", asked, limit - 1, limit - 1, "WITHSCORES")
            if found[2] and tonumber(found[2]) > now - window then
                local wait = math.max(tonumber(found[2]) + window - now, 1)
                return refused({ measure = "requests", name = name, wait = text(wait) })
            end
        end
    end
end

local function tokens_refused(scope, limits, left)
    for _, tier in ipairs({
        { "tokens_per_minute", "tokens:minute" },
        { "tokens_per_day", "tokens:day" },
    }) do
        local limit = number(limits[tier[1]])
        if limit > 0 then
            local sum, wait = used(scope, tier[2])
            if sum >= limit then
                return refused({
                    measure = "tokens", name = tier[1], used = text(sum), wait = text(wait),
                })
            end
            table.insert(left, limit - sum)
        end
    end
end

-- The tightest window of money: what is left in it, its name, when the oldest of it leaves.
local function room(scope, limits)
    local left, name, wait = nil, nil, nil
    for _, tier in ipairs({ { "usd_per_day", "nano:day" }, { "usd_per_month", "nano:month" } }) do
        local limit = number(limits[tier[1]])
        if limit > 0 then
            local sum, leaves = used(scope, tier[2])
            if left == nil or limit - sum < left then
                left, name, wait = limit - sum, tier[1], leaves
            end
        end
    end
    local total = number(limits.usd_total)
    if total > 0 then
        local sum = number(redis.call("GET", key(scope, "total")))
            + number(redis.call("HGET", key(scope, "held"), "nano"))
        if left == nil or total - sum < left then
            left, name, wait = total - sum, "usd_total", nil
        end
    end
    return left, name, wait
end

local function admit(id, caller, model, tokens, usd, least, chat, request, limits)
    local row = key("request", id)
    local known = redis.call("HGET", row, "nano")
    if known then
        return cjson.encode({ answer = "known", nano = known })
    end
    local scopes, left, amount = { "caller:" .. caller, "model:" .. model }, {}, tonumber(usd)
    for i, scope in ipairs(scopes) do
        local no = requests_refused(scope, limits[i]) or tokens_refused(scope, limits[i], left)
        if no then
            local told = cjson.decode(no)
            told.scope = i
            return cjson.encode(told)
        end
        local rest, name, wait = room(scope, limits[i])
        if rest then
            if rest < tonumber(least) then
                return refused({
                    measure = "usd", scope = i, name = name, left = text(rest),
                    wait = wait and text(wait) or nil,
                })
            end
            amount = math.min(amount, rest)
        end
    end
    redis.call("HSET", row, "caller", caller, "model", model, "tokens", tokens,
        "nano", text(amount), "open", "1", "chat", chat, "request", request)
    redis.call("ZADD", key("open"), now, id)
    for _, scope in ipairs(scopes) do
        redis.call("ZADD", key(scope, "asked"), now, id)
        redis.call("HINCRBY", key(scope, "held"), "tokens", tokens)
        redis.call("HINCRBY", key(scope, "held"), "nano", text(amount))
    end
    local least_left = nil
    for _, one in ipairs(left) do
        least_left = math.min(least_left or one, one)
    end
    return cjson.encode({
        answer = "admitted", nano = text(amount), tokens_left = least_left and text(least_left) or nil,
    })
end

-- Let go of what an open request holds; its row, or nothing where it is not open.
local function let_go(id)
    local row = redis.call("HMGET", key("request", id), "caller", "model", "tokens", "nano", "open")
    if row[5] ~= "1" then
        return nil
    end
    redis.call("ZREM", key("open"), id)
    for _, scope in ipairs({ "caller:" .. row[1], "model:" .. row[2] }) do
        redis.call("HINCRBY", key(scope, "held"), "tokens", text(0 - tonumber(row[3])))
        redis.call("HINCRBY", key(scope, "held"), "nano", text(0 - tonumber(row[4])))
    end
    return row
end

local function add(scope, kind, amount)
    local _, window, width = unpack(KINDS[kind])
    local at, bucket = key(scope, kind), text(math.floor(now / width))
    local sum = redis.call("HINCRBY", at, bucket, amount)
    if text(sum) == text(tonumber(amount)) then -- a new bucket: those that left go
        for _, old in ipairs(redis.call("HKEYS", at)) do
            if (tonumber(old) + 1) * width + window <= now then
                redis.call("HDEL", at, old)
            end
        end
    end
    redis.call("EXPIRE", at, KEPT_S)
end

local function settle(id, tokens, nano)
    local row = let_go(id)
    if row == nil then
        return ""
    end
    local amounts = { tokens = tokens ~= "" and tokens or row[3], nano = nano ~= "" and nano or row[4] }
    for _, scope in ipairs({ "caller:" .. row[1], "model:" .. row[2] }) do
        for kind, of in pairs(KINDS) do
            if tonumber(amounts[of[1]]) > 0 then
                add(scope, kind, amounts[of[1]])
            end
        end
        redis.call("INCRBY", key(scope, "total"), amounts.nano)
    end
    redis.call("HSET", key("request", id), "open", "0", "tokens", amounts.tokens, "nano", amounts.nano)
    redis.call("EXPIRE", key("request", id), KEPT_S)
    return ""
end

local function release(id)
    local row = let_go(id)
    if row ~= nil then
        for _, scope in ipairs({ "caller:" .. row[1], "model:" .. row[2] }) do
            redis.call("ZREM", key(scope, "asked"), id)
        end
        redis.call("DEL", key("request", id))
    end
    return ""
end

local function still_open()
    local found = {}
    for _, id in ipairs(redis.call("ZRANGE", key("open"), 0, -1)) do
        local row = redis.call("HMGET", key("request", id), "chat", "request")
        table.insert(found, { id, row[1] or "", row[2] or "" })
    end
    return #found == 0 and "[]" or cjson.encode(found)
end

local function spent(caller)
    local scope = "caller:" .. caller
    return text(number(redis.call("GET", key(scope, "total")))
        + number(redis.call("HGET", key(scope, "held"), "nano")))
end

if operation == "admit" then
    return admit(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10],
        { cjson.decode(ARGV[11]), cjson.decode(ARGV[12]) })
elseif operation == "settle" then
    return settle(ARGV[3], ARGV[4], ARGV[5])
elseif operation == "release" then
    return release(ARGV[3])
elseif operation == "still_open" then
    return still_open()
end
return spent(ARGV[3])
