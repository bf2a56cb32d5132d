internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

/// An array map's values in this process's memory, for reading: no system call for each (BPF_F_MMAPABLE, kernel 5.5).
public final class MappedArray<Element: BitwiseCopyable> {
    public let count: Int
    private let bytes: UnsafeRawBufferPointer

    /// `map` may have several elements in a value.
    public init<Value>(_ map: Map<UInt32, Value>, of _: Element.Type) throws(BPFError) {
        let length = map.capacity * MemoryLayout<Value>.stride
        let fd = map.descriptor.raw
        let start = mmap(nil, length, PROT_READ, MAP_SHARED, fd, 0)
        guard let start, start != MAP_FAILED else {
            throw BPFError(code: errno, operation: "map \(map.name) into memory")
        }
        bytes = UnsafeRawBufferPointer(start: start, count: length)
        count = length / MemoryLayout<Element>.stride
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }

    /// A copy. What a program writes at the same moment may be half in it.
    public subscript(index: Int) -> Element {
        bytes.load(fromByteOffset: index * MemoryLayout<Element>.stride, as: Element.self)
    }
}
