// States that can be undone and redone, bounded by their number and size. A state is text.

export class Timeline {
  constructor(state = "", most = 200, characters = 1_000_000) {
    this.most = most;
    this.characters = characters;
    this.past = [];
    this.present = state;
    this.future = [];
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  push(state) {
    if (state === this.present) return;
    this.past.push(this.present);
    this.present = state;
    this.future = [];
    let size = this.past.reduce((sum, one) => sum + one.length, 0);
    while (this.past.length > this.most || (size > this.characters && this.past.length > 1)) {
      size -= this.past.shift().length;
    }
  }

  undo() {
    if (!this.canUndo) return false;
    this.future.push(this.present);
    this.present = this.past.pop();
    return true;
  }

  redo() {
    if (!this.canRedo) return false;
    this.past.push(this.present);
    this.present = this.future.pop();
    return true;
  }

  /** All states, the oldest first, of which the present one is at `place`. */
  get states() {
    return [...this.past, this.present, ...this.future.toReversed()];
  }

  get place() {
    return this.past.length;
  }

  /** Make the state at a place the present one. Returns whether it was another. */
  go(place) {
    const moves = place - this.place;
    for (let i = 0; i < Math.abs(moves); i++) this[moves < 0 ? "undo" : "redo"]();
    return moves !== 0;
  }

  toJSON() {
    return { past: this.past, present: this.present, future: this.future };
  }

  static from({ past, present, future }, ...bounds) {
    const timeline = new Timeline(present, ...bounds);
    timeline.past = [...past];
    timeline.future = [...future];
    return timeline;
  }
}
