// The server's events. EventSource connects again by itself when a connection breaks, but not after an answer that is no
// stream, and it does not notice a connection that has gone silent.

const patience = 15_000; // ms without news, then the connection is thought dead
const pause = 2_000; // ms before another is opened

export class Feed {
  #source = null;
  #heard = performance.now();
  #opened = 0;

  /** take has a function for each name of an event. */
  constructor(take) {
    this.take = take;
    this.open();
  }

  open() {
    this.#source?.close();
    this.#opened = performance.now();
    this.#source = new EventSource("events");
    for (const [name, receive] of Object.entries(this.take)) {
      this.#source.addEventListener(name, (event) => {
        this.#heard = performance.now();
        receive(JSON.parse(event.data));
      });
    }
  }

  /** Milliseconds since the last news. */
  silence() {
    return performance.now() - this.#heard;
  }

  /** Is called now and then: opens another connection where the old one is closed or silent. */
  tend() {
    const closed = this.#source.readyState === EventSource.CLOSED;
    const since = performance.now() - this.#opened;
    if ((closed && since > pause) || (this.silence() > patience && since > patience)) this.open();
  }
}
