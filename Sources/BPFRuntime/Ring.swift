internal import CLibBPF

/// The reading end of a BPF ring buffer.
public final class Ring {
    private var ring: OpaquePointer!
    private let handler: (UnsafeRawBufferPointer) -> Void

    /// `handler` gets each record in the kernel's own memory: nothing of it may be kept.
    public init(_ map: borrowing Descriptor, name: String, handler: @escaping (UnsafeRawBufferPointer) -> Void)
        throws(BPFError)
    {
        self.handler = handler
        let context = Unmanaged.passUnretained(self).toOpaque()
        let fd = map.raw
        ring = try Kernel.pointer("read ring \(name)") {
            ring_buffer__new(
                fd,
                { context, data, size in
                    Unmanaged<Ring>.fromOpaque(context!).takeUnretainedValue()
                        .handler(UnsafeRawBufferPointer(start: data, count: size))
                    return 0
                }, context, nil)
        }
    }

    deinit { ring_buffer__free(ring) }

    /// Readable when records wait.
    public var pollDescriptor: Int32 { ring_buffer__epoll_fd(ring) }

    /// Hands on all that is there; the number of records.
    @discardableResult
    public func consume() -> Int { max(0, Int(ring_buffer__consume(ring))) }
}
