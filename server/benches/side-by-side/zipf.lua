-- Visits the codes in the file CODES by a Zipf popularity of exponent 0.99, the first the most popular. Each request is drawn
-- afresh, from a stream that SEED begins.
local ffi = require "ffi"
local requests, count, share, other = {}, 0, nil, nil

-- Walker's alias method in Vose's form: each place stands for two codes, so a draw costs one random number.
function init()
    local before, after = wrk.format("GET", "/@"):match("^(.-)@(.*)$")
    for code in io.lines(os.getenv("CODES")) do
        count = count + 1
        requests[count] = before .. code .. after
    end
    local sum = 0
    for rank = 1, count do sum = sum + rank ^ -0.99 end
    share, other = ffi.new("double[?]", count + 1), ffi.new("int32_t[?]", count + 1)
    local scarce, ample = {}, {}
    for rank = 1, count do
        share[rank] = rank ^ -0.99 * count / sum
        local kind = share[rank] < 1 and scarce or ample
        kind[#kind + 1] = rank
    end
    while #scarce > 0 and #ample > 0 do
        local little, much = table.remove(scarce), ample[#ample]
        other[little] = much
        share[much] = share[much] + share[little] - 1
        if share[much] < 1 then
            table.remove(ample)
            scarce[#scarce + 1] = much
        end
    end
    -- What rounding left over is as good as whole.
    for _, rest in ipairs({ scarce, ample }) do
        for _, rank in ipairs(rest) do share[rank], other[rank] = 1, rank end
    end
    math.randomseed(tonumber(os.getenv("SEED")))
end

function request()
    local drawn = math.random() * count
    local place = math.floor(drawn)
    local rank = place + 1
    if drawn - place >= share[rank] then rank = other[rank] end
    return requests[rank]
end
