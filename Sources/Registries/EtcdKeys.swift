import FoundationEssentials

/// How etcd's JSON writes keys and values.
enum EtcdKeys {
    /// Base64, standard or URL alphabet, padded or not, as protocol buffers' JSON allows. Nil: none of that.
    static func bytes(_ text: String?) -> [UInt8]? {
        guard let text else { return [] }
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.utf8.count % 4 != 0 && plain.utf8.count % 4 != 1 { plain += "=" }
        return Data(base64Encoded: plain).map { [UInt8]($0) }
    }
}
