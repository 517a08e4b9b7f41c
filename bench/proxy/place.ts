/** Where the origin is. A public address of the private namespace's loopback, which proxies that refuse private ones reach too. */
export const originAddress = "93.184.216.34";
export const originName = "origin.example.com";
export const ports = { http: 80, echo: 443, nexus: 8081, calm: 8082, tinyproxy: 8083, srt: 8084 } as const;
