internal import CLinux
internal import Glibc
internal import Synchronization

/// One thread with an epoll set, and the executor of the one actor that owns the data path: descriptors, timers and
/// jobs of that actor all run on it, so nothing that it holds needs a lock (docs/decisions/0004-one-thread-owns-the-node.md).
final class EventLoop: SerialExecutor, @unchecked Sendable {
    private let epoll: Int32
    private let wakeup: Int32
    private let jobs = Mutex<[UnownedJob]>([])
    private let stopping = Atomic(false)
    private let thread = Atomic<UInt>(0)
    /// Of the thread alone.
    private var handlers: [Int32: () -> Void] = [:]
    private var timer: (() -> Duration?)?

    init() {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeup = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        precondition(epoll >= 0 && wakeup >= 0, "the process may open two more descriptors")
        add(wakeup)
    }

    deinit {
        close(wakeup)
        close(epoll)
    }

    /// `body` runs on the thread whenever `descriptor` is readable. Call it on the thread.
    func watch(_ descriptor: Int32, _ body: @escaping () -> Void) {
        handlers[descriptor] = body
        add(descriptor)
    }

    /// Before the descriptor is closed. Call it on the thread.
    func unwatch(_ descriptor: Int32) {
        handlers[descriptor] = nil
        var event = epoll_event()
        epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &event)
    }

    /// Asked before each wait for how long it may be; nil: until something happens. Call it on the thread.
    func setTimer(_ body: @escaping () -> Duration?) { timer = body }

    private func add(_ descriptor: Int32) {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.fd = descriptor
        let result = epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
        precondition(result == 0, "a descriptor that is open and watched once")
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
        wake()
    }

    func checkIsolated() {
        precondition(thread.load(ordering: .relaxed) == pthread_self(), "only on the node's own thread")
    }

    func isIsolatingCurrentContext() -> Bool? { thread.load(ordering: .relaxed) == pthread_self() }

    private func wake() {
        var one: UInt64 = 1
        _ = write(wakeup, &one, MemoryLayout<UInt64>.size)
    }

    func start() {
        let handle = Unmanaged.passRetained(self)
        var id = pthread_t()
        let result = pthread_create(
            &id, nil,
            { context in
                let loop = Unmanaged<EventLoop>.fromOpaque(context!).takeRetainedValue()
                remora_name_thread("remora-engine")
                loop.run()
                return nil
            }, handle.toOpaque())
        precondition(result == 0, "the process may start one more thread")
        pthread_detach(id)
    }

    /// After the jobs that wait now.
    func stop() {
        stopping.store(true, ordering: .relaxed)
        wake()
    }

    private func run() {
        thread.store(pthread_self(), ordering: .relaxed)
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while !stopping.load(ordering: .relaxed) {
            let wait = timer?().map { Int32(clamping: max(0, $0.milliseconds)) } ?? -1
            let count = epoll_wait(epoll, &events, Int32(events.count), wait)
            for index in 0..<max(0, Int(count)) {
                let descriptor = events[index].data.fd
                if descriptor == wakeup { drainWakeup() } else { handlers[descriptor]?() }
            }
            runJobs()
        }
        runJobs()
        handlers = [:]
        timer = nil
    }

    private func drainWakeup() {
        var count: UInt64 = 0
        _ = read(wakeup, &count, MemoryLayout<UInt64>.size)
    }

    private func runJobs() {
        while true {
            let batch = jobs.withLock { jobs in
                defer { jobs.removeAll(keepingCapacity: true) }
                return jobs
            }
            if batch.isEmpty { return }
            for job in batch { job.runSynchronously(on: asUnownedSerialExecutor()) }
        }
    }
}
