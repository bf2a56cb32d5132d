import Model

/// Numbers in network order, nil past the end.
extension UnsafeRawBufferPointer {
    func number8(at offset: Int) -> UInt8? { offset >= 0 && offset < count ? self[offset] : nil }

    func number16(at offset: Int) -> UInt16? {
        guard offset >= 0, offset <= count - 2 else { return nil }
        return UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    func number32(at offset: Int) -> UInt32? {
        guard offset >= 0, offset <= count - 4 else { return nil }
        return UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    func number64(at offset: Int) -> UInt64? {
        guard offset >= 0, offset <= count - 8 else { return nil }
        return UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    func mac(at offset: Int) -> MACAddress? {
        guard let high = number16(at: offset), let low = number32(at: offset + 2) else { return nil }
        return MACAddress(bits: UInt64(high) << 32 | UInt64(low))
    }

    func ipv6(at offset: Int) -> IPv6Address? {
        guard let high = number64(at: offset), let low = number64(at: offset + 8) else { return nil }
        return IPv6Address(high: high, low: low)
    }
}

extension [UInt8] {
    mutating func append16(_ number: UInt16) {
        append(UInt8(truncatingIfNeeded: number >> 8))
        append(UInt8(truncatingIfNeeded: number))
    }

    mutating func append32(_ number: UInt32) {
        append16(UInt16(truncatingIfNeeded: number >> 16))
        append16(UInt16(truncatingIfNeeded: number))
    }
}
