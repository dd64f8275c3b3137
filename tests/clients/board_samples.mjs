// Boards that no sandbox company has, made from a real one.

export const MARKUP = `<img src="https://evil.example/x" onerror="alert(1)"><script>alert(2)</script>`;

/// Markup, endless words and broken records wherever the board shows text.
export function nasty(board) {
    const copy = structuredClone(board);
    const jobs = copy.technicians.flatMap((technician) => technician.jobs);
    const texts = ["customer", "city", "address", "description", "status", "number", "category", "priority", "late", "at_risk", "stage"];
    for (const name of texts) jobs[0][name] = MARKUP;
    for (const name of texts) jobs[1][name] = "Donaudampfschifffahrtsgesellschaftskapitaen".repeat(6);
    copy.technicians[0].name = MARKUP;
    copy.technicians.push(null, { technician_id: 1, jobs: [{ job_id: 9 }, { job_id: 10, stage: "constructor", start: 7, customer: { a: 1 }, late: true }] });
    copy.note = MARKUP;
    copy.left_out = MARKUP;
    return copy;
}

export function empty(board) {
    const technicians = board.technicians.map((technician) => ({ ...technician, booked_hours: 0, jobs: [] }));
    return { ...board, counts: { jobs: 0, unassigned: 0, late: 0, at_risk: 0, done: 0 }, technicians, unassigned: [] };
}
