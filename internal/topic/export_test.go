package topic

// What the tests must know of the headers.
const (
	HeaderSpecVersion = headerSpecVersion
	HeaderID          = headerID
	HeaderSource      = headerSource
	HeaderType        = headerType
	HeaderSubject     = headerSubject
	HeaderTime        = headerTime
	HeaderContentType = headerContentType
	HeaderVersion     = headerVersion
	HeaderSeq         = headerSeq
	HeaderLSN         = headerLSN
	HeaderIndex       = headerIndex
	HeaderLast        = headerLast
)
