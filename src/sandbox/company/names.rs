//! Names of people, businesses and streets around Dallas–Fort Worth.

pub(crate) struct City {
    pub(crate) name: &'static str,
    pub(crate) postal_code: &'static str,
}

const fn city(name: &'static str, postal_code: &'static str) -> City {
    City { name, postal_code }
}

pub(crate) const CITIES: [City; 12] = [
    city("Dallas", "75214"),
    city("Plano", "75075"),
    city("Frisco", "75034"),
    city("Irving", "75062"),
    city("Arlington", "76013"),
    city("Fort Worth", "76107"),
    city("Colleyville", "76034"),
    city("Garland", "75040"),
    city("Mesquite", "75150"),
    city("Dallas", "75230"),
    city("Fort Worth", "76116"),
    city("Plano", "75023"),
];

pub(crate) const STREETS: [&str; 20] = [
    "Oak Hollow Dr",
    "Mockingbird Ln",
    "Cedar Springs Rd",
    "Live Oak St",
    "Preston Rd",
    "Legacy Dr",
    "Bluebonnet Way",
    "Pecan Grove Ct",
    "Lakeview Pkwy",
    "Abrams Rd",
    "Camp Bowie Blvd",
    "Heritage Ave",
    "Greenville Ave",
    "Mesquite Valley Rd",
    "Buckingham Rd",
    "Story Rd",
    "Collins St",
    "Hulen St",
    "Custer Rd",
    "Main St",
];

pub(crate) const FIRST_NAMES: [&str; 24] = [
    "James", "Linda", "Robert", "Patricia", "Miguel", "Susan", "David", "Karen", "Anh", "Nancy",
    "Daniel", "Priya", "Kevin", "Sandra", "Omar", "Ashley", "Brian", "Rosa", "Edward", "Michelle",
    "Terrence", "Laura", "Jin", "Cynthia",
];

pub(crate) const LAST_NAMES: [&str; 24] = [
    "Thompson",
    "Garza",
    "Walker",
    "Patel",
    "Nguyen",
    "Harris",
    "Mitchell",
    "Rodriguez",
    "Foster",
    "Kim",
    "Sullivan",
    "Brooks",
    "Hernandez",
    "Ward",
    "Khan",
    "Peterson",
    "Coleman",
    "Reyes",
    "Murphy",
    "Chen",
    "Washington",
    "Bailey",
    "Ramirez",
    "Stone",
];

pub(crate) const BUSINESSES: [(&str, &str); 24] = [
    ("Elm Street Dental", "Medical & Dental"),
    ("Bluebonnet Property Management", "Property Management"),
    ("Metroplex Property Partners", "Property Management"),
    ("Trinity Oaks HOA", "Property Management"),
    ("Lakeside Realty Group", "Property Management"),
    ("Cedar & Stone Rentals", "Property Management"),
    ("Mi Cocina de Abuela", "Restaurants"),
    ("Pho Saigon Garland", "Restaurants"),
    ("Smokey Joe's BBQ", "Restaurants"),
    ("The Rusty Spur Grill", "Restaurants"),
    ("Bella Notte Ristorante", "Restaurants"),
    ("Golden Wok Express", "Restaurants"),
    ("Deep Ellum Coffee Roasters", "Restaurants"),
    ("St. Brendan Catholic Church", "Religious Organizations"),
    ("Preston Hollow Preparatory School", "Education"),
    ("Lone Oak Veterinary Clinic", "Medical & Dental"),
    ("DFW Self Storage #14", "Storage"),
    ("Stockyards Boutique Hotel", "Hospitality"),
    ("Irving Tool & Die", "Manufacturing"),
    ("North Texas Gymnastics Academy", "Fitness"),
    ("Frisco Family Eye Care", "Medical & Dental"),
    ("Hulen Auto Body", "Automotive"),
    ("Arlington Little Scholars Daycare", "Education"),
    ("White Rock Brewing Co.", "Restaurants"),
];
