import Testing

@testable import Dataplane

@Suite("Slots") struct SlotsTests {
    @Test("who held a slot is known until another takes it") func tenures() {
        var slots = Slots<String>(limit: 2)
        #expect(slots.tenure(of: 0) == 0 && slots.holder(of: 0, tenure: 0) == nil)
        let slot: UInt32 = 0
        #expect(slots.take(for: "a") == slot)
        let tenure = slots.tenure(of: slot)
        #expect(slots[slot] == "a" && slots.holder(of: slot, tenure: tenure) == "a")
        slots.free(slot)
        #expect(slots[slot] == nil && slots.holder(of: slot, tenure: tenure) == "a")
        #expect(slots.tenure(of: slot) == 0, "what comes now names nobody")
        #expect(slots.take(for: "b") == 1, "a freed one is used again last")
        #expect(slots.take(for: "c") == slot)
        #expect(slots.holder(of: slot, tenure: tenure) == nil)
        #expect(slots.holder(of: slot, tenure: slots.tenure(of: slot)) == "c")
        #expect(slots.take(for: "d") == nil)
    }

    @Test("a slot that was freed and is read back is given to nobody else")
    func adoptedAgain() {
        var slots = Slots<String>(limit: 2)
        for holder in ["a", "b"] { _ = slots.take(for: holder) }
        slots.free(0)
        let adopted = slots.adopt(0, for: "c")
        let next = slots.take(for: "d")
        #expect(adopted && next == nil)
        #expect(slots[0] == "c")
    }
}
