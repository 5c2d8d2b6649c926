// A file with everything that analysts keep beside their trees, and a tree with branches of all kinds.
void write_rich_file(const char *path, Int_t compression, Long64_t entries) {
   std::string friend_path = std::string(path) + ".friend";
   {
      TFile friend_file(friend_path.c_str(), "RECREATE");
      TTree friend_tree("friend_tree", "");
      friend_tree.SetEntries(entries);
      friend_tree.Write();
   }
   TFile file(path, "RECREATE", "a title", compression);
   TH1F histogram("histogram", "with a title", 10, 0, 1);
   histogram.Fill(0.3, 2.5);
   histogram.Write();
   histogram.Write();  // a second cycle
   TObjString("some text").Write("text");
   TNamed("name/with/slashes", "title").Write("name/with/slashes");
   TDirectory *folder = file.mkdir("mt_nominal")->mkdir("deep");
   file.mkdir("empty");
   folder->cd();
   TTree tree("ntuple", "the tree");
   float x; double y; Long64_t event; std::vector<float> jets; std::string word; int n; float values[5];
   TLorentzVector momentum; struct { float a; int b; } pair;
   tree.Branch("x", &x);
   tree.Branch("y", &y);
   tree.Branch("event", &event, "event/L");
   tree.Branch("jets", &jets);
   tree.Branch("word", &word);
   tree.Branch("n", &n, "n/I");
   tree.Branch("values", values, "values[n]/F");
   tree.Branch("momentum", &momentum);
   tree.Branch("pair", &pair, "a/F:b/I");
   tree.SetAutoFlush(700);
   TRandom3 random(1);
   for (Long64_t i = 0; i < entries; ++i) {
      x = random.Gaus(); y = random.Uniform(); event = (1LL << 60) + 3 * i; jets.assign(i % 4, x); n = i % 5;
      word = std::string(i % 7, 'w'); for (int j = 0; j < 5; ++j) values[j] = i + j; pair.a = x; pair.b = i;
      momentum.SetPtEtaPhiM(20 + x * x, x, y, 0.1);
      tree.Fill();
      if (i == entries / 2) tree.AutoSave();
   }
   tree.GetUserInfo()->Add(new TParameter<double>("luminosity", 59.7));
   tree.GetUserInfo()->Add(new TObjString("note"));
   tree.SetAlias("z", "x*y");
   tree.AddFriend("friend_tree", friend_path.c_str());
   tree.BuildIndex("event");
   tree.Write();
   tree.Write();  // htt-ml's users have ntuple;1 and ntuple;2
   tree.Write("renamed");  // another header of the same baskets
   file.cd();
   TNtuple plain("plain", "TNtuple", "a:b");
   for (Long64_t i = 0; i < entries; ++i) plain.Fill(i, -i);
   plain.Write();
   TTree other("other", "");
   other.Branch("x", &x);
   for (Long64_t i = 0; i < 100; ++i) { x = i; other.Fill(); }
   other.Write();
   TTree nothing("nothing", "");
   nothing.Branch("x", &x);
   nothing.Write();
   histogram.SetName("doomed"); histogram.Write(); file.Delete("doomed;*");  // leaves a gap
   file.Close();
   gSystem->Unlink(friend_path.c_str());  // trees must open without their friends
}

// A tree with what uproot cannot decode, or decodes to something else.
void write_packed_file(const char *path) {
   TFile file(path, "RECREATE");
   TTree tree("packed", "");
   struct { double pt[6]; double res[6]; } part;
   struct { float a[4][2]; int b; } mixed;
   Double32_t d, ds[4]; Float16_t f, fs[4]; int n;
   tree.Branch("part", &part, "pt[6]/D:res[6]/D");
   tree.Branch("mixed", &mixed, "a[4][2]/F:b/I");
   tree.Branch("n", &n, "n/I");
   tree.Branch("D_plain", &d, "D_plain/d");
   tree.Branch("D_range", &d, "D_range/d[0,10,12]");
   tree.Branch("D_array", ds, "D_array[3]/d[0,10,12]");
   tree.Branch("D_vector", ds, "D_vector[n]/d[0,10,12]");
   tree.Branch("F_plain", &f, "F_plain/f");
   tree.Branch("F_range", &f, "F_range/f[0,10,12]");
   tree.Branch("F_array", fs, "F_array[3]/f");
   tree.Branch("F_vector", fs, "F_vector[n]/f[0,0,10]");
   for (int i = 0; i < 100; ++i) {
      for (int k = 0; k < 6; ++k) { part.pt[k] = i + k; part.res[k] = k; }
      for (int k = 0; k < 8; ++k) mixed.a[k / 2][k % 2] = i * k;
      mixed.b = i; n = i % 4; d = f = 0.05 * i;
      for (int k = 0; k < 4; ++k) ds[k] = fs[k] = k + 0.25;
      tree.Fill();
   }
   tree.Write();
   file.Close();
}
