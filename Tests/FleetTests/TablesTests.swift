import Model
import Testing

@testable import Fleet

@Suite struct TablesTests {
    @Test("timers come due in order, each key once, as a sorted list would have it", arguments: 0..<20) func timers(
        seed: Int
    ) {
        var dice = Dice(state: UInt64(seed))
        var timers = Timers<Int>()
        var naive: [Int: Instant] = [:]
        for _ in 0..<2000 {
            let key = dice.roll(100)
            switch dice.roll(4) {
            case 0:
                timers.remove(key)
                naive[key] = nil
            case 1:
                let now = Instant(milliseconds: Int64(dice.roll(1000)))
                let due = naive.filter { $0.value <= now }.map(\.value).min()
                let next = timers.next(due: now)
                #expect(next.flatMap { naive[$0] } == due)
                if let next { naive[next] = nil }
            default:
                let deadline = Instant(milliseconds: Int64(dice.roll(1000)))
                timers.set(key, deadline)
                naive[key] = deadline
            }
            #expect(timers.count == naive.count)
            #expect(timers.first?.deadline == naive.values.min())
        }
    }

    @Test("a timer set to nothing is removed") func timerRemoved() {
        var timers = Timers<String>()
        timers.set("x", Instant(milliseconds: 1))
        timers.set("x", nil)
        #expect(timers.first == nil)
    }

    @Test("a bounded table drops what was set longest ago, and never grows") func bounded() {
        var table = BoundedTable<Int, Int>(capacity: 3)
        for number in 0..<10_000 { table.set(number % 7, number) }
        #expect(table.count == 3)
        #expect(table.values == [9_999, 9_998, 9_997])
        table.remove(9_999 % 7)
        #expect(table.values == [9_998, 9_997])
        table.set(9_997 % 7, 1)
        #expect(table.values == [1, 9_998])
    }

    @Test("the hash that chooses VIPs is the same for ever") func hash() {
        #expect(stableHash("0", "default", "web") == stableHash("0", "default", "web"))
        #expect(stableHash("a", "bc") != stableHash("ab", "c"))
        #expect(stableHash() == 0xcbf2_9ce4_8422_2325)
    }

    @Test("a stranger's text is quoted, cut and escaped") func shown() {
        #expect("a\u{1b}b\n".shown == "\"a\\u{1b}b\\u{a}\"")
        #expect(String(repeating: "x", count: 1000).shown.count < 90)
    }
}
