// Events to Python. A drag is a state value (the newest wins, at most one per 50 ms). Commit, select and command are
// triggers, and Streamlit keeps only the newest trigger of a component while a run is under way: an earlier one would
// be lost. Where Python answers with `data.ack` (the highest `seq` it has handled), one trigger is under way at a time
// until its answer; without `ack` each is sent at once. With no answer a commit or a choice, which may come twice, is sent
// again; a command (undo!) is not.
const DRAG_EVERY = 50;
const ANSWER_WITHIN = 2500;

class Outbox {
  constructor(firstSeq) {
    this.seq = firstSeq;
    this.queue = [];
    this.underWay = null;
    this.acknowledges = false;
    this.lastDrag = -Infinity;
  }

  connect({ setStateValue, setTriggerValue }) {
    this.setState = setStateValue;
    this.setTrigger = setTriggerValue;
  }

  drag(changes) {
    this.pendingDrag = { seq: ++this.seq, changes };
    if (this.dragTimer) return;
    const wait = DRAG_EVERY - (performance.now() - this.lastDrag);
    this.dragTimer = setTimeout(() => this.flushDrag(), Math.max(0, wait));
  }

  flushDrag() {
    clearTimeout(this.dragTimer);
    this.dragTimer = null;
    if (!this.pendingDrag) return;
    this.lastDrag = performance.now();
    this.setState('drag', this.pendingDrag);
    this.pendingDrag = null;
  }

  trigger(event, value) {
    const message = { event, value: { ...value, seq: ++this.seq }, tries: 0 };
    if (!this.acknowledges) {
      this.setTrigger(event, message.value);
      return message.value.seq;
    }
    // Of several choices waiting only the last matters.
    if (event === 'select') this.queue = this.queue.filter((waiting) => waiting.event !== 'select');
    this.queue.push(message);
    this.sendNext();
    return message.value.seq;
  }

  sendNext() {
    if (this.underWay || !this.queue.length) return;
    this.underWay = this.queue.shift();
    this.send();
  }

  send() {
    this.underWay.tries += 1;
    this.setTrigger(this.underWay.event, this.underWay.value);
    clearTimeout(this.resendTimer);
    this.resendTimer = setTimeout(() => this.resend(), ANSWER_WITHIN * this.underWay.tries);
  }

  resend() {
    if (!this.underWay) return;
    if (this.underWay.event !== 'command' && this.underWay.tries < 3) { this.send(); return; }
    this.underWay = null;
    this.sendNext();
  }

  // Called while Streamlit mounts new data, so the next trigger leaves a moment later.
  acknowledge(ack) {
    if (ack == null) return;
    this.acknowledges = true;
    if (!this.underWay || this.underWay.value.seq > ack) return;
    clearTimeout(this.resendTimer);
    this.underWay = null;
    setTimeout(() => this.sendNext(), 0);
  }

  stop() {
    clearTimeout(this.dragTimer);
    clearTimeout(this.resendTimer);
  }
}
