/** Record types we name (IANA "Resource Record (RR) TYPEs"); every other number passes through unnamed. */
export const recordType = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
} as const;

/** Response codes (IANA "DNS RCODEs"). Those above 15 need an OPT record to carry their upper bits. */
export const responseCode = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;

export const classInternet = 1;
export const opcodeQuery = 0;

/** Bits of the second 16-bit word of a header (RFC 1035 §4.1.1, RFC 4035 §3.1.6). */
export const headerFlag = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;

export const headerBytes = 12;

/** What a client without EDNS takes over UDP (RFC 1035 §4.2.1). */
export const plainPayloadBytes = 512;

/** Fits every path of 1280 bytes unfragmented, the value of DNS flag day 2020. */
export const safePayloadBytes = 1232;
