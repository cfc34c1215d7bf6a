// Methods of the mixer: the sparsity field of a row and the tolerance field.
const fields = {
  typeNumber(item, digit) {
    this.enterRow(item);
    item.parts.field.value = digit;
  },

  enterRow(item) {
    const first = item.parts.field && !item.parts.field.disabled ? item.parts.field : item.parts.lock;
    if (!first) return;
    first.focus();
    if (first.select) first.select();
  },

  restoreField(item) {
    item.editing = false;
    item.cache.percent = null;
    item.parts.field.value = item.isBunch ? `${Math.round(100 * item.sparsity)} %` : percentText(item.sparsity);
  },

  commitField(item) {
    if (!item.editing) return;
    const text = item.parts.field.value, sparsity = parsePercent(text);
    const shown = item.isBunch ? `${Math.round(100 * item.sparsity)} %` : percentText(item.sparsity);
    if (sparsity != null && text !== shown) this.setSparsity(item, Math.min(1, sparsity));
    this.restoreField(item);
  },

  commitTolerance() {
    const field = this.find('.tolerance');
    const value = Number(field.value.replace('pt', '').replace(',', '.').trim());
    if (value > 0 && value <= 100 && value !== this.data.tolerance) this.command({ kind: 'tolerance', value });
    else this.resetTolerance();
  },

  resetTolerance() { this.find('.tolerance').value = `${this.data.tolerance.toFixed(1)} pt`; },
};
